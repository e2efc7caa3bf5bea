//! What a shell and a reader get of snapshots.

use super::*;
use engine::snapshot::manifest::{Cut, Job};
use std::path::Path;

fn place(dir: &Path) -> Place {
    Place { data_dir: dir.to_owned(), snapshots: None, json: true }
}

fn list(dir: &Path) -> Result<(), Failure> {
    execute(&Command::List(List { place: place(dir) }))
}

fn publish(repository: &Repository, id: u64, at: Stamp, complete: bool) {
    let cut = Cut { id, generation: 1, at, complete };
    repository.publish(&Manifest::of(cut, &Job { workers: 2, ..Job::default() }, [])).unwrap();
}

#[test]
fn exit_codes_tell_whether_there_is_anything_to_start_from() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(list(dir.path()).unwrap_err().code(), 2);
    let repository = crate::run::repository(dir.path(), None).unwrap();
    assert_eq!(list(dir.path()).unwrap_err().code(), 3);
    publish(&repository, 1, 1_767_225_600_000, false);
    std::fs::write(dir.path().join("snapshots/manifests/0000000000"), "{").unwrap();
    assert!(list(dir.path()).is_ok(), "one of two is intact");
    repository.remove(&[1].into()).unwrap();
    assert_eq!(list(dir.path()).unwrap_err().code(), 3);
}

#[test]
fn the_table_says_where_each_cut_is_and_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let repository = crate::run::repository(dir.path(), None).unwrap();
    publish(&repository, 3, 1_767_225_600_000, false);
    publish(&repository, 4, Stamp::MAX, true);
    repository.save(3, "spring").unwrap();
    let mut rows = rows(&repository, repository.list().unwrap()).unwrap();
    assert!(rows.iter().all(|row| row.intact && row.workers == Some(2)));
    rows.push(Row { id: 5, problem: Some("bad\u{1b}[31m".to_owned()), ..Row::default() });
    let text = table(&rows);
    assert!(text.contains("2026-01-01 00:00:00 UTC"), "{text}");
    assert!(text.contains("end of input") && text.contains("intact, complete, restored next"), "{text}");
    assert!(text.contains("kept as spring") && text.matches("restored next").count() == 1, "{text}");
    assert!(text.contains("damaged: bad?[31m") && !text.contains('\u{1b}'), "{text}");
}

fn delete(dir: &Path, which: &str, force: bool) -> Result<(), Failure> {
    execute(&Command::Delete(Delete { which: which.to_owned(), force, place: place(dir) }))
}

fn save(dir: &Path, name: &str, id: Option<u64>) -> Result<(), Failure> {
    execute(&Command::Save(Save { name: name.to_owned(), id, place: place(dir) }))
}

fn verify(dir: &Path, which: Option<&str>) -> Result<(), Failure> {
    execute(&Command::Verify(Verify { which: which.map(str::to_owned), place: place(dir) }))
}

#[test]
fn the_newest_intact_one_goes_only_by_force_and_a_named_one_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let repository = crate::run::repository(dir, None).unwrap();
    (1..=4).for_each(|id| publish(&repository, id, id * 1_000, false));
    std::fs::write(dir.join("snapshots/manifests/0000000004"), "{").unwrap();
    save(dir, "spring", Some(1)).unwrap();
    save(dir, "newest", None).unwrap();
    assert_eq!(repository.names().unwrap()["newest"], 3, "the damaged one is passed over");

    let refused = |which: &str, word: &str| {
        let failure = delete(dir, which, false).unwrap_err();
        assert!(failure.code() == 2 && failure.to_string().contains(word), "{failure}");
    };
    refused("1", "kept as spring");
    refused("3", "kept as newest");
    refused("7", "no snapshot 7");
    refused("autumn", "named autumn");
    delete(dir, "newest", false).unwrap();
    refused("3", "--force");
    delete(dir, "2", false).unwrap();
    delete(dir, "4", false).unwrap();
    delete(dir, "3", true).unwrap();
    assert_eq!(repository.ids().unwrap(), [1]);
}

#[test]
fn a_name_is_refused_that_would_be_taken_for_a_number_or_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let repository = crate::run::repository(dir, None).unwrap();
    assert_eq!(save(dir, "first", None).unwrap_err().code(), 3);
    publish(&repository, 1, 1_000, false);
    for (name, id) in [("12", None), ("../x", None), ("", None), ("first", Some(2))] {
        assert_eq!(save(dir, name, id).unwrap_err().code(), 2, "{name}");
    }
    save(dir, "first", None).unwrap();
    assert_eq!(save(dir, "first", None).unwrap_err().code(), 2);
    assert_eq!((pick(&repository, "first"), pick(&repository, "1")), (Ok(1), Ok(1)));
}

#[test]
fn verify_tells_damage_by_its_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let repository = crate::run::repository(dir, None).unwrap();
    assert_eq!(verify(dir, None).unwrap_err().code(), 2);
    publish(&repository, 1, 1_000, false);
    publish(&repository, 2, 2_000, false);
    verify(dir, None).unwrap();
    std::fs::write(dir.join("snapshots/manifests/0000000001"), "{").unwrap();
    assert_eq!(verify(dir, None).unwrap_err().code(), 3);
    assert_eq!(verify(dir, Some("1")).unwrap_err().code(), 3);
    verify(dir, Some("2")).unwrap();
    assert_eq!(verify(dir, Some("3")).unwrap_err().code(), 2);
}
