//! Tests of `outbox`.

use super::*;
use crate::mail::tests::mail;

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn to_write_again_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox");
    let mut outbox = Outbox::open(&path).unwrap();
    let eml = outbox.write_mail(&mail()).unwrap();
    let json = outbox.write_message("id", "{\"a\":1}").unwrap();
    assert_eq!(std::fs::read(&eml).unwrap(), mail().render().unwrap());
    assert_eq!(std::fs::read_to_string(&json).unwrap(), "{\"a\":1}");
    let before = files(&path);
    assert_eq!(before.len(), 2, "nothing partial is left: {before:?}");

    // As after a crash: half of the mail's file, under the name it has until it is whole.
    std::fs::remove_file(&eml).unwrap();
    let partial = path.join(format!(".{}.partial", eml.file_name().unwrap().to_str().unwrap()));
    std::fs::write(&partial, "Date: ".repeat(1_000)).unwrap();
    let mut outbox = Outbox::open(&path).unwrap();
    assert_eq!(outbox.write_mail(&mail()).unwrap(), eml);
    assert_eq!(outbox.write_message("id", "{\"a\":1}").unwrap(), json);
    assert_eq!(files(&path), before);
    assert_eq!(std::fs::read(&eml).unwrap(), mail().render().unwrap());
    outbox.write_message("other", "{\"a\":1}").unwrap();
    outbox.write_mail(&Mail { id: "other", ..mail() }).unwrap();
    assert_eq!(files(&path).len(), 4, "another id is another message");
    assert!(matches!(outbox.write_message("../id", "{}"), Err(Error::Invalid(_))));
}

#[test]
fn a_folder_that_cannot_be_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(Outbox::open(&folder.path().join("no/such")), Err(Error::Io { .. })));
    std::fs::write(folder.path().join("file"), "").unwrap();
    assert!(matches!(Outbox::open(&folder.path().join("file")), Err(Error::Invalid(_))));
}
