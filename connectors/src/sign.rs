//! Signatures under what is posted. Owned here: the scheme of Standard Webhooks, and compact JSON Web Signatures with
//! RS256. Not owned here: the bytes that are signed, and where the keys come from.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use engine::error::Error;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use std::fmt;

/// What a secret of Standard Webhooks begins with.
const PREFIX: &str = "whsec_";

/// How many bytes such a secret has.
const BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// The secrets of one receiver: one, or while it changes them the new one and the old one.
#[derive(Clone)]
pub struct WebhookKeys(Vec<hmac::Key>);

impl WebhookKeys {
    /// Reads one secret, or two with white space between.
    ///
    /// # Errors
    /// The rule that they break, which does not repeat them.
    pub fn parse(text: &str) -> Result<Self, String> {
        let key = |word: &str| {
            let bytes = word.strip_prefix(PREFIX).and_then(|encoded| STANDARD.decode(encoded).ok())?;
            BYTES.contains(&bytes.len()).then(|| hmac::Key::new(hmac::HMAC_SHA256, &bytes))
        };
        let keys: Option<Vec<hmac::Key>> = text.split_whitespace().map(key).collect();
        match keys {
            Some(keys) if (1..=2).contains(&keys.len()) => Ok(WebhookKeys(keys)),
            _ => Err(format!("must be {PREFIX} and 24 to 64 bytes in base64, or two of these")),
        }
    }

    /// The value of the header `webhook-signature`: one signature for each secret.
    pub fn sign(&self, id: &str, seconds: u64, body: &str) -> String {
        let text = format!("{id}.{seconds}.{body}");
        let signature = |key| format!("v1,{}", STANDARD.encode(hmac::sign(key, text.as_bytes())));
        self.0.iter().map(signature).collect::<Vec<_>>().join(" ")
    }
}

impl fmt::Debug for WebhookKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A private key of RSA, and the header of what it signs.
pub struct TokenKey {
    pair: KeyPair,
    header: String,
}

impl TokenKey {
    /// The first private key of a PEM text, for tokens of a type, which receivers know by `id`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is none of RSA with 2048 to 8192 bits.
    pub fn parse(pem: &[u8], id: &str, kind: &str) -> Result<Self, Error> {
        let pair = match PrivateKeyDer::from_pem_slice(pem) {
            Ok(PrivateKeyDer::Pkcs8(key)) => KeyPair::from_pkcs8(key.secret_pkcs8_der()).ok(),
            Ok(PrivateKeyDer::Pkcs1(key)) => KeyPair::from_der(key.secret_pkcs1_der()).ok(),
            _ => None,
        };
        let bad = || Error::Invalid("it holds no private key of RSA with 2048 to 8192 bits in PEM".to_owned());
        let header = serde_json::json!({ "alg": "RS256", "typ": kind, "kid": id }).to_string();
        Ok(TokenKey { pair: pair.ok_or_else(bad)?, header })
    }

    /// A token that says `claims`, a JSON object. The same claims make the same token.
    ///
    /// # Errors
    /// [`Error::Fault`] if the key does not sign.
    pub fn token(&self, claims: &str) -> Result<String, Error> {
        let mut token = format!("{}.{}", URL_SAFE_NO_PAD.encode(&self.header), URL_SAFE_NO_PAD.encode(claims));
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), token.as_bytes(), &mut signature)
            .map_err(|_| Error::Fault("a key of RSA does not sign".to_owned()))?;
        token.push('.');
        token.push_str(&URL_SAFE_NO_PAD.encode(signature));
        Ok(token)
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

    /// The example that the scheme's own libraries are tested with.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn signed(secrets: &str) -> String {
        let keys = WebhookKeys::parse(secrets).unwrap();
        keys.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, "{\"test\": 2432232314}")
    }

    #[test]
    fn a_signature_is_that_of_the_published_example() {
        assert_eq!(signed(SECRET), SIGNATURE);
    }

    #[test]
    fn while_secrets_change_both_sign() {
        let old = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
        let both = signed(&format!(" {SECRET}\n{old}\n"));
        assert_eq!(both, format!("{SIGNATURE} {}", signed(old)));
    }

    #[test]
    fn what_is_no_secret_is_refused_and_not_repeated() {
        let encoded = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![7; bytes]));
        for ok in [encoded(24), encoded(64)] {
            assert_eq!(format!("{:?}", WebhookKeys::parse(&ok).unwrap()), "***");
        }
        let three = [SECRET; 3].join(" ");
        let with_one_bad = format!("{SECRET} hunter2");
        for bad in ["", " ", "hunter2", "whsec_", "whsec_hunter2", &encoded(23), &encoded(65), &three, &with_one_bad] {
            let told = WebhookKeys::parse(bad).unwrap_err();
            assert!(told.contains("24 to 64 bytes") && !told.contains("hunter2"), "{bad}: {told}");
        }
    }

    fn pem(label: &str, der: &[u8]) -> String {
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
    }

    #[test]
    fn a_token_is_verified_with_the_public_key() {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let key = TokenKey::parse(pem("PRIVATE KEY", der.as_ref()).as_bytes(), "k1", "secevent+jwt").unwrap();
        let token = key.token(r#"{"jti":"1"}"#).unwrap();
        assert_eq!(key.token(r#"{"jti":"1"}"#).unwrap(), token);
        let (text, signature) = token.rsplit_once('.').unwrap();
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key());
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        public.verify(text.as_bytes(), &signature).unwrap();
        assert!(public.verify(text.to_uppercase().as_bytes(), &signature).is_err());
        let said: Vec<String> =
            text.split('.').map(|part| String::from_utf8(URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()).collect();
        let header: serde_json::Value = serde_json::from_str(&said[0]).unwrap();
        assert_eq!(header, serde_json::json!({ "alg": "RS256", "typ": "secevent+jwt", "kid": "k1" }));
        assert_eq!(said[1], r#"{"jti":"1"}"#);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for bad in
            ["", "hunter2", &pem("PRIVATE KEY", b"hunter2"), &pem("RSA PRIVATE KEY", b"x"), &pem("PUBLIC KEY", b"x")]
        {
            let told = TokenKey::parse(bad.as_bytes(), "k", "t").unwrap_err().to_string();
            assert!(told.contains("no private key of RSA"), "{told}");
        }
    }
}
