//! Tests of `templates`.

use super::*;

fn folder(files: &[(&str, &str, &str)]) -> Folder {
    let mut folder = Folder::new();
    for (locale, file, text) in files {
        folder.entry((*locale).to_owned()).or_default().insert((*file).to_owned(), (*text).to_owned());
    }
    folder
}

/// A whole locale, with a word that tells it apart.
fn whole(locale: &'static str, word: &str) -> Folder {
    let texts = BUILT_IN[0].1.map(|text| text.replace("Hello", word));
    Folder::from([(locale.to_owned(), FILES.iter().map(|file| (*file).to_owned()).zip(texts).collect())])
}

fn greeting(templates: &Templates, locale: &str) -> String {
    let text = templates.of(locale).user.text.text(&[]);
    text.split(' ').next().unwrap_or_default().to_owned()
}

#[test]
fn what_is_built_in_is_whole() {
    assert_eq!(Templates::built_in().locales().collect::<Vec<_>>(), ["de", "en"]);
}

#[test]
fn a_locale_is_told_in_its_own_the_next_wider_or_english() {
    let mut given = whole("pt", "Olá");
    given.extend(whole("zh_Hant_TW", "您好"));
    given.extend(folder(&[("pt-BR", "user.txt", "Subject: Oi\n\nOi {{name}}")]));
    let templates = Templates::with(&given).unwrap();
    for (locale, expected) in [
        ("pt-BR", "Oi"),
        ("pt_BR.UTF-8@euro", "Oi"),
        ("PT-br-x-rio", "Oi"),
        ("pt-PT", "Olá"),
        ("pt", "Olá"),
        ("zh-Hant-TW", "您好"),
        ("zh-Hant", "Hello"),
        ("zh", "Hello"),
        ("de-AT", "Guten"),
        ("fr-CA", "Hello"),
        ("", "Hello"),
        ("-", "Hello"),
        ("e", "Hello"),
        ("deutsch", "Hello"),
    ] {
        assert_eq!(greeting(&templates, locale), expected, "{locale}");
    }
    let admin = |locale: &str| templates.of(locale).admin.text.text(&[]);
    assert!(admin("pt-BR").starts_with("Olá"), "what a locale lacks is the wider one's");
}

#[test]
fn a_file_takes_the_place_of_one_that_is_built_in() {
    let templates = Templates::with(&folder(&[("en", "user.html", "<p>{{name}}")])).unwrap();
    assert_eq!(templates.of("").user.html.html(&[]), "<p>");
    assert!(templates.of("").user.text.text(&[]).contains("your account"));
    assert!(templates.of("").admin.html.html(&[]).contains("<html"));
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let words =
        "unknown = ?\nunknown = !\nreason.tor\nreasn.tor = x\ntime = {{yaer}}\n# a note\n\nreason.asn = {{org}}";
    let given = folder(&[
        ("en", "words.txt", words),
        ("en", "user.txt", "You were signed out"),
        ("en", "admin.txt", "Subject: {{reasons}}\n\n{{count}} {{nme"),
        ("en", "admin.html", "<a href=\"{{network}}\">{{evil}}</a>"),
        ("en", "digest.txt", "Subject: {{count}}\n\n"),
        ("en", "readme.md", "?"),
        ("pt", "user.txt", "Subject: Oi\n\nOi"),
        ("../x", "user.txt", ""),
        ("PT", "user.txt", ""),
    ]);
    let told = Templates::with(&given).unwrap_err().join("\n");
    for problem in [
        "en/words.txt:2: `unknown` stands here twice",
        "en/words.txt:3: `reason.tor` is no line such as `name = phrase`",
        "en/words.txt:4: `reasn.tor` is no phrase of messages",
        "en/words.txt:5: `yaer` is no name of this phrase; known are year, month,",
        "en/words.txt:8: `org` is no name: this phrase has none",
        "en/words.txt: lacks the phrase `reason.tor`",
        "en/user.txt: begins with a line `Subject: …` and a blank one",
        "en/admin.txt: `reasons` is a list and cannot stand in the subject",
        "en/admin.txt: `{{nme` is not closed",
        "en/admin.html: `network` stands in a tag",
        "en/admin.html: `evil` is no name; known are org, name,",
        "en/digest.txt: holds nothing",
        "en/readme.md: is no template; known are words.txt,",
        "pt/words.txt: is missing, and no wider locale has it",
        "../x: is no locale such as",
        "pt: there is another folder for `pt`",
    ] {
        assert!(told.contains(problem), "{problem}\n in\n{told}");
    }
    assert!(!told.contains("de/"), "{told}");
    assert_eq!(told.matches("`reasn.tor`").count(), 1, "once, whoever takes from it\n{told}");
}

#[test]
fn a_count_is_a_name_of_digests_alone() {
    let wrong = folder(&[("en", "user.html", "{{count}}"), ("en", "digest.html", "{{sessions}} {{count}} {{since}}")]);
    let told = Templates::with(&wrong).unwrap_err();
    assert!(told[0].starts_with("en/user.html: `count` is no name"), "{told:?}");
    assert!(told[1].starts_with("en/digest.html: `sessions` is no name"), "{told:?}");
    assert_eq!(told.len(), 2, "{told:?}");
}
