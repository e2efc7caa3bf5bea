//! What a repository promises, on a folder and on a server that speaks S3.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod s3;

use engine::coordinator::message::Part;
use engine::error::Error;
use engine::snapshot::manifest::{Cut, Job, Manifest};
use engine::snapshot::objects::{Measure, Objects, Put};
use engine::snapshot::publisher::Publisher;
use engine::snapshot::repository::Repository;
use engine::snapshot::restore::{Restore, choose, look};
use engine::source::journal::MemoryJournal;
use engine::state::store::CheckpointFile;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;

/// Runs a test on both kinds of store. It gets a way to open the store anew, and a scratch folder.
fn on_both(test: impl Fn(&(dyn Fn() -> Objects + Sync), &Path)) {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("folder");
    test(&|| Objects::in_folder(&folder).unwrap(), &scratch.path().join("a"));
    let server = s3::start(&scratch.path().join("server"));
    let open = || Objects::at_url(&s3::url("some/prefix"), s3::environment(server)).unwrap();
    test(&open, &scratch.path().join("b"));
}

fn file(folder: &Path, name: &str, content: &[u8]) -> PathBuf {
    fs::create_dir_all(folder).unwrap();
    let path = folder.join(name);
    fs::write(&path, content).unwrap();
    path
}

#[test]
fn objects_come_back_as_they_went() {
    on_both(|open, scratch| {
        let objects = open();
        assert_eq!(objects.read("manifests/1").unwrap(), None);
        assert!(objects.list("manifests").unwrap().is_empty());
        assert_eq!(objects.create("manifests/1", b"one".to_vec()).unwrap(), Put::Done);
        assert_eq!(objects.create("manifests/1", b"two".to_vec()).unwrap(), Put::Taken);
        assert_eq!(objects.create("manifests/0", Vec::new()).unwrap(), Put::Done);
        assert_eq!(objects.create("manifests/deeper/2", Vec::new()).unwrap(), Put::Done);
        assert_eq!(objects.read("manifests/1").unwrap().unwrap(), "one");
        let names = |listed: Vec<engine::snapshot::objects::Listed>| -> Vec<String> {
            listed.into_iter().map(|listed| listed.name).collect()
        };
        assert_eq!(names(objects.list("manifests").unwrap()), ["0", "1"]);
        assert_eq!(
            names(objects.list_below("manifests").unwrap()),
            ["manifests/0", "manifests/1", "manifests/deeper/2"]
        );
        objects.delete("manifests/0").unwrap();
        objects.delete("manifests/0").unwrap();
        assert_eq!(names(open().list("manifests").unwrap()), ["1"]);

        // Small, of several parts, and empty.
        for size in [0, 5_000, (20 << 20) + 7] {
            let content: Vec<u8> = (0..size as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
            let measure = Measure { size: size as u64, crc32c: crc32c::crc32c(&content) };
            let name = format!("files/{size}");
            assert_eq!(objects.upload(&name, &file(scratch, "up", &content)).unwrap(), measure);
            let down = scratch.join(size.to_string());
            assert_eq!(objects.download(&name, &down).unwrap(), Some(measure));
            assert!(fs::read(down).unwrap() == content);
        }
        assert_eq!(objects.scan("files/none", |_| Ok(())).unwrap(), None);
    });
}

#[test]
fn of_many_who_take_a_name_one_succeeds() {
    on_both(|open, _| {
        for round in 0..5 {
            let barrier = Barrier::new(6);
            let done = thread::scope(|scope| {
                let racers: Vec<_> = (0..6u8)
                    .map(|racer| {
                        let (objects, barrier) = (open(), &barrier);
                        scope.spawn(move || {
                            barrier.wait();
                            objects.create(&format!("manifests/{round}"), vec![racer]).unwrap()
                        })
                    })
                    .collect();
                racers.into_iter().map(|racer| racer.join().unwrap()).collect::<Vec<_>>()
            });
            let winner = done.iter().position(|put| *put == Put::Done).unwrap();
            assert_eq!(done.iter().filter(|put| **put == Put::Done).count(), 1, "round {round}");
            assert_eq!(open().read(&format!("manifests/{round}")).unwrap().unwrap(), vec![winner as u8]);
        }
    });
}

/// A run as far as a repository sees it: it takes over, and publishes snapshots whose one file says who wrote it.
struct Run<'a> {
    repository: Repository,
    scratch: &'a Path,
    restore: Restore,
    shelf: engine::snapshot::shelf::Shelf,
    next_id: u64,
}

fn job() -> Job {
    Job { workers: 1, ..Job::default() }
}

impl<'a> Run<'a> {
    fn start(objects: Objects, scratch: &'a Path) -> Self {
        Self::try_start(objects, scratch).unwrap()
    }

    fn try_start(objects: Objects, scratch: &'a Path) -> Result<Self, Error> {
        let repository = Repository::new(objects);
        let restore = choose(&repository, &job(), 0, &scratch.join("fetched"))?;
        let shelf = repository.shelf(restore.generation, "count.0", restore.stored("count", 0, 1));
        let next_id = restore.next_id;
        Ok(Run { repository, scratch, restore, shelf, next_id })
    }

    fn manifest(&mut self, at: u64, files: &[(&str, &str, bool)]) -> Manifest {
        self.try_manifest(at, files).unwrap()
    }

    fn try_manifest(&mut self, at: u64, files: &[(&str, &str, bool)]) -> Result<Manifest, Error> {
        let id = self.next_id;
        self.next_id += 1;
        let folder = self.scratch.join(format!("checkpoint-{}-{id}", self.restore.generation));
        let describe = |(name, content, lasting): &(&str, &str, bool)| {
            file(&folder, name, content.as_bytes());
            let crc32c = crc32c::crc32c(content.as_bytes());
            CheckpointFile { name: (*name).to_owned(), size: content.len() as u64, crc32c, lasting: *lasting }
        };
        let files: Vec<CheckpointFile> = files.iter().map(describe).collect();
        let files = self.shelf.put(id, &folder, &files)?;
        let part = Part { operator: "count".to_owned(), worker: 0, files, totals: vec![at], partitions: Vec::new() };
        Ok(Manifest::of(Cut { id, generation: self.restore.generation, at, complete: false }, &job(), [part]))
    }

    fn publish(&mut self, at: u64, files: &[(&str, &str, bool)]) -> Result<Manifest, Error> {
        // One that is taken over from may lose what it is writing just now.
        let manifest = self.try_manifest(at, files)?;
        self.repository.publish(&manifest).map(|()| manifest)
    }
}

fn objects_of(manifest: &Manifest) -> Vec<&str> {
    manifest.files().map(|file| file.object.as_str()).collect()
}

#[test]
fn only_new_files_are_stored_and_a_takeover_stores_none() {
    on_both(|open, scratch| {
        let mut run = Run::start(open(), scratch);
        assert_eq!((run.restore.at(), run.restore.generation), (None, 1));
        let one = run.publish(10, &[("1.sst", "aaaa", true), ("CURRENT", "x", false)]).unwrap();
        let two = run.publish(20, &[("1.sst", "aaaa", true), ("2.sst", "b", true), ("CURRENT", "x", false)]).unwrap();
        assert_eq!(objects_of(&one)[0], objects_of(&two)[0]);
        assert_ne!(objects_of(&one)[1], objects_of(&two)[2], "a name that does not last is stored each time");
        assert_eq!((one.new_bytes(), two.new_bytes(), two.bytes()), (5, 2, 6));

        let mut next = Run::start(open(), scratch);
        assert_eq!((next.restore.at(), next.restore.generation), (Some(20), 2));
        let fetched = next.restore.checkpoints("count", 0, 1).unwrap();
        assert_eq!(fs::read_to_string(fetched[0].join("2.sst")).unwrap(), "b");
        let taken_over = next.repository.manifest(2).unwrap();
        assert_eq!((taken_over.generation, taken_over.at, objects_of(&taken_over)), (2, 20, objects_of(&two)));
        let three = next.publish(30, &[("2.sst", "b", true), ("3.sst", "c", true)]).unwrap();
        assert_eq!(objects_of(&three)[0], objects_of(&two)[1], "what the store still has is not stored again");
        next.restore.clean().unwrap();
    });
}

#[test]
fn what_was_taken_over_from_can_publish_nothing_more() {
    on_both(|open, scratch| {
        let mut old = Run::start(open(), scratch);
        old.publish(10, &[("f", "one", false)]).unwrap();
        let mut new = Run::start(open(), scratch);
        let error = old.publish(20, &[("f", "straggler", false)]).unwrap_err();
        assert!(error.to_string().contains("superseded"), "{error}");
        new.publish(20, &[("f", "two", false)]).unwrap();
        let last = Run::start(open(), scratch);
        let fetched = last.restore.checkpoints("count", 0, 1).unwrap();
        assert_eq!(fs::read_to_string(fetched[0].join("f")).unwrap(), "two");
        assert_eq!(last.restore.generation, 3);
    });
}

/// Generations come up while others publish. Whatever comes of it, each number has one snapshot, every generation goes
/// on from the newest there was, and none publishes after a later one has.
#[test]
fn two_generations_race_and_one_wins_each_time() {
    on_both(|open, scratch| {
        for round in 0..4 {
            let place = scratch.join(format!("round{round}"));
            fs::create_dir_all(&place).unwrap();
            let barrier = Barrier::new(2);
            let race = |name: &'static str| {
                let folder = place.join(name);
                fs::create_dir_all(&folder).unwrap();
                barrier.wait();
                let mut run = match Run::try_start(open(), &folder) {
                    Ok(run) => run,
                    Err(error) => {
                        assert!(engine::ledger::is_superseded(&error), "{error}");
                        return (0, Vec::new());
                    }
                };
                let from = run.restore.at().unwrap_or_default();
                let published = (1..=4).map_while(|n| run.publish(from + n, &[("f", name, false)]).ok());
                let published: Vec<u64> = published.map(|manifest| manifest.id).collect();
                (run.restore.generation, published)
            };
            let (a, b) = thread::scope(|scope| {
                let a = scope.spawn(|| race("a"));
                let b = scope.spawn(|| race("b"));
                (a.join().unwrap(), b.join().unwrap())
            });
            let (older, newer) = if a.0 < b.0 { (a, b) } else { (b, a) };
            assert!(older.0 < newer.0, "a generation has one run");
            let found = Repository::new(open()).list().unwrap();
            let by: Vec<(u64, u64)> = found.iter().map(|f| (f.id, f.manifest.as_ref().unwrap().generation)).collect();
            assert!(by.windows(2).all(|pair| pair[0].0 + 1 == pair[1].0), "no number is left out: {by:?}");
            let first_of_newer = by.iter().find(|(_, generation)| *generation == newer.0).map(|(id, _)| *id);
            if let Some(first) = first_of_newer {
                let after = older.1.iter().filter(|id| **id > first).count();
                assert_eq!(after, 0, "round {round}: {older:?} published after {newer:?} had: {by:?}");
            }
        }
    });
}

#[test]
fn deletion_leaves_what_other_snapshots_name() {
    on_both(|open, scratch| {
        let mut run = Run::start(open(), scratch);
        run.publish(10, &[("1.sst", "one", true)]).unwrap();
        run.publish(20, &[("1.sst", "one", true), ("2.sst", "two", true)]).unwrap();
        run.publish(30, &[("2.sst", "two", true), ("3.sst", "three", true)]).unwrap();
        run.manifest(40, &[("4.sst", "never published", true)]);
        let repository = &run.repository;
        repository.save(0, "before-upgrade").unwrap();
        assert!(matches!(repository.save(1, "before-upgrade"), Err(Error::Invalid(_))), "the name is taken");
        assert!(matches!(repository.save(9, "other"), Err(Error::Invalid(_))), "there is no such snapshot");
        for bad in ["", "a/b", "../x", ".hidden", "a b", &"x".repeat(65)] {
            assert!(matches!(repository.save(1, bad), Err(Error::Invalid(_))), "{bad}");
        }
        repository.remove(&BTreeSet::from([0, 1])).unwrap();
        assert_eq!(repository.ids().unwrap(), [0, 2], "a named one stays");
        assert!(repository.list().unwrap().iter().all(|f| repository.verify(f.manifest.as_ref().unwrap()).is_ok()));
        assert!(repository.forget("before-upgrade").unwrap());
        assert!(!repository.forget("before-upgrade").unwrap());
        repository.remove(&BTreeSet::from([0])).unwrap();
        assert_eq!(open().list_below("files").unwrap().len(), 3, "2, 3, and what was never published");
        let next = Run::start(open(), scratch);
        assert_eq!(next.restore.at(), Some(30));
        assert_eq!(open().list_below("files").unwrap().len(), 2, "a takeover sweeps what no snapshot names");
        look(&next.repository, 2, &scratch.join("look")).unwrap();
    });
}

#[test]
fn state_of_another_kind_is_refused_with_what_differs_and_never_passed_over() {
    on_both(|open, scratch| {
        let mut run = Run::start(open(), scratch);
        run.publish(10, &[("f", "intact", false)]).unwrap();
        let manifest = run.manifest(20, &[("f", "other", false)]);
        let refused = |change: &dyn Fn(&mut Manifest)| {
            let mut other = manifest.clone();
            change(&mut other);
            run.repository.publish(&other).unwrap();
            let error = choose(&run.repository, &job(), 0, &scratch.join("fetched")).unwrap_err();
            run.repository.remove(&BTreeSet::from([other.id])).unwrap();
            error
        };
        let groups = refused(&|manifest| manifest.key_groups = 128);
        assert!(matches!(&groups, Error::Unfit(text) if text.contains("128") && text.contains("256")), "{groups}");
        let hash = refused(&|manifest| manifest.key_hash = "md5".to_owned());
        assert!(matches!(&hash, Error::Unfit(text) if text.contains("md5")), "{hash}");
        let of = |manifest: &mut Manifest| drop(manifest.fingerprint.insert("input a".to_owned(), "1".to_owned()));
        let other_job = refused(&of);
        assert!(matches!(&other_job, Error::Invalid(text) if text.contains("input a")), "{other_job}");
        assert_eq!(run.repository.generation().unwrap(), 1, "a refusal claims nothing");
        assert!(!scratch.join("fetched").exists());
    });
}

#[test]
fn a_manifest_of_a_newer_format_is_told_from_a_damaged_one() {
    let bytes = Manifest::of(Cut { id: 1, generation: 1, at: 5, complete: false }, &job(), []).to_bytes().unwrap();
    let body = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let crc = crc32c::crc32c_append(crc32c::crc32c(&9u32.to_le_bytes()), &bytes[body..]);
    let newer = [format!("snapshot 9 {crc:08x}\n").as_bytes(), &bytes[body..]].concat();
    let error = Manifest::parse(&newer, "here").unwrap_err();
    assert!(matches!(&error, Error::Unfit(text) if text.contains("format 9")), "{error}");
    assert!(Manifest::parse(&bytes, "here").is_ok());
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            assert!(matches!(Manifest::parse(&damaged, "here"), Err(Error::Corrupt(_))), "bit {bit} of byte {at}");
        }
        assert!(matches!(Manifest::parse(&bytes[..at], "here"), Err(Error::Corrupt(_))), "length {at}");
    }
}

/// Numbers have no gap whatever was given up, an own write that seemed to fail is no rival, and one of a newer generation
/// ends the run.
#[test]
fn publications_are_numbered_without_a_gap_and_end_at_a_rival() {
    on_both(|open, scratch| {
        let mut run = Run::start(open(), scratch);
        let publisher =
            Publisher::start(run.repository.clone(), Arc::<Mutex<MemoryJournal>>::default(), run.next_id, 9);
        let told = || loop {
            if let Some(told) = publisher.poll().unwrap() {
                return told;
            }
            thread::yield_now();
        };
        // The second and third were asked for and given up.
        for (asked, at) in [(0, 10), (3, 20)] {
            publisher.publish(asked, run.manifest(at, &[("f", "x", false)]));
            let (id, published) = told();
            assert_eq!((id, published.unwrap().manifest.at), (asked, at));
        }
        assert_eq!(run.repository.ids().unwrap(), [0, 1]);
        let own = Manifest { id: 2, ..run.manifest(30, &[("f", "seemed to fail", false)]) };
        run.repository.publish(&own).unwrap();
        publisher.publish(5, run.manifest(40, &[("f", "y", false)]));
        assert_eq!(told().1.unwrap().manifest.id, 3);
        publisher.publish(6, Manifest { id: 4, ..run.repository.manifest(3).unwrap() });
        assert_eq!(told().1.unwrap().manifest.id, 4);

        let newer = Run::start(open(), scratch);
        assert_eq!(newer.restore.at(), Some(40));
        publisher.publish(7, run.manifest(50, &[("f", "straggler", false)]));
        let error = told().1.unwrap_err();
        assert!(engine::ledger::is_superseded(&error), "{error}");
        assert_eq!(run.repository.ids().unwrap(), [0, 1, 2, 4, 5], "of two with one cut, the newer one is kept");
    });
}

fn named(manifest: &Manifest, name: &str) -> String {
    manifest.files().find(|file| file.name == name).expect("it is in there").object.clone()
}

/// What was stored for a snapshot that came to nothing goes once a later one is published, but for what that one names.
#[test]
fn files_of_given_up_snapshots_go_and_none_that_is_needed() {
    on_both(|open, scratch| {
        let mut run = Run::start(open(), scratch);
        let there = |object: &str| open().list_below("files").unwrap().iter().any(|listed| listed.name == object);
        let publisher =
            Publisher::start(run.repository.clone(), Arc::<Mutex<MemoryJournal>>::default(), run.next_id, 9);
        let published = |asked: u64, manifest: Manifest| {
            publisher.publish(asked, manifest);
            loop {
                if let Some((_, published)) = publisher.poll().unwrap() {
                    return published.unwrap().manifest;
                }
                thread::yield_now();
            }
        };
        let manifest = run.manifest(10, &[("a", "a", true), ("x", "1", false)]);
        published(0, manifest);
        let given_up = run.manifest(20, &[("a", "a", true), ("b", "b", true), ("x", "2", false)]);
        assert!(there(&named(&given_up, "x")));
        let manifest = run.manifest(30, &[("a", "a", true), ("b", "b", true), ("x", "3", false)]);
        let third = published(2, manifest);
        assert_eq!(named(&third, "b"), named(&given_up, "b"), "it was stored for the one before");
        // It is told before the files go.
        while there(&named(&given_up, "x")) {
            thread::yield_now();
        }
        for found in run.repository.list().unwrap() {
            run.repository.verify(&found.manifest.unwrap()).unwrap();
        }
        // One that is under way meanwhile keeps what it has.
        let under_way = run.manifest(40, &[("a", "a", true), ("d", "d", true)]);
        run.repository.sweep(1, 3).unwrap();
        run.repository.verify(&under_way).unwrap();
    });
}

#[test]
fn a_checkpoint_that_cannot_be_stored_leaves_nothing() {
    on_both(|open, scratch| {
        let mut run = Run::start(open(), scratch);
        let one = run.publish(10, &[("a", "a", true)]).unwrap();
        let folder = scratch.join("checkpoint");
        file(&folder, "b", b"b");
        let checkpoint = |name: &str, content: &[u8]| CheckpointFile {
            name: name.to_owned(),
            size: content.len() as u64,
            crc32c: crc32c::crc32c(content),
            lasting: true,
        };
        let files = [checkpoint("a", b"a"), checkpoint("b", b"b"), checkpoint("missing", b"c")];
        assert!(matches!(run.shelf.put(7, &folder, &files), Err(Error::Io { .. })));
        let left: Vec<_> = open().list_below("files").unwrap().into_iter().map(|listed| listed.name).collect();
        assert_eq!(left, objects_of(&one), "what the last one has stays");
        assert_eq!(objects_of(&run.publish(20, &[("a", "a", true)]).unwrap()), objects_of(&one));
    });
}

#[test]
fn what_a_killed_run_was_writing_goes_when_the_next_one_starts() {
    let scratch = tempfile::tempdir().unwrap();
    let open = || Objects::in_folder(&scratch.path().join("folder")).unwrap();
    let mut run = Run::start(open(), scratch.path());
    let one = run.publish(10, &[("a", "a", true)]).unwrap();
    let place = scratch.path().join("folder/files/0000000001/count.0");
    let half = [file(&place.join("0000000000"), "b#1", b"half"), file(&place.join("0000000001"), "c#12", b"half")];
    let newer = file(&scratch.path().join("folder/files/0000000003/count.0/0000000000"), "d#1", b"half");
    let next = Run::start(open(), scratch.path());
    assert!(half.iter().all(|path| !path.exists()) && newer.exists());
    next.repository.verify(&one).unwrap();
}

/// A file that the system does not give may be given the next time; one that is no file is damaged.
#[test]
fn an_error_of_the_system_is_no_damage() {
    let scratch = tempfile::tempdir().unwrap();
    let open = || Objects::in_folder(&scratch.path().join("folder")).unwrap();
    let mut run = Run::start(open(), scratch.path());
    run.publish(10, &[("f", "one", false)]).unwrap();
    let two = run.publish(20, &[("f", "two", false)]).unwrap();
    let path = scratch.path().join("folder").join(objects_of(&two)[0]);
    let choose = || choose(&Repository::new(open()), &job(), 0, &scratch.path().join("again"));

    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(&path, &path).unwrap();
    let error = choose().unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::Unavailable(_)) && text.contains("snapshots delete"), "{error:?}");
    assert_eq!(run.repository.ids().unwrap(), [0, 1], "nothing was taken over");

    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let restore = choose().unwrap();
    assert_eq!((restore.at(), restore.passed_over.len()), (Some(10), 1));

    fs::remove_dir(&path).unwrap();
    fs::write(&path, "two").unwrap();
    run.repository.verify(&two).unwrap();
}

/// The folder gives the file only after somebody has begun to copy it.
#[test]
fn what_a_folder_does_not_give_at_once_is_read_again() {
    let scratch = tempfile::tempdir().unwrap();
    let objects = Objects::in_folder(&scratch.path().join("folder")).unwrap();
    let measure = objects.upload("files/a", &file(scratch.path(), "up", b"one")).unwrap();
    let [path, aside, copy] = ["folder/files/a", "aside", "copy"].map(|name| scratch.path().join(name));
    fs::rename(&path, &aside).unwrap();
    std::os::unix::fs::symlink(&path, &path).unwrap();
    let begun = copy.clone();
    let gives = thread::spawn(move || {
        while !begun.exists() {
            thread::yield_now();
        }
        fs::rename(aside, path).unwrap();
    });
    assert_eq!(objects.download("files/a", &copy).unwrap(), Some(measure));
    gives.join().unwrap();
    assert_eq!(fs::read(copy).unwrap(), b"one");
}
