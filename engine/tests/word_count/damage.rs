//! Damaged snapshots: cut off, changed by a bit, missing, swapped or stale files are all noticed, an older snapshot is
//! used, and what comes of it is the same.

use super::run::{Variant, output, repository, words, words_in};
use super::scratch;
use super::stream::{Dice, Shape, lines, scatter, stream};
use engine::error::Error;
use engine::flow::Ended;
use engine::state::memory::MemoryStores;
use engine::state::rocks::RocksStores;
use engine::state::store::Stores;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const SHAPE: Shape =
    Shape { records: 12_000, pace: 20_000_000, disorder: 4_000_000, late_one_in: 40, late_by: 400_000_000 };
const CASES: usize = 1_000;
const RUNS: usize = 12;

#[derive(Clone, Copy, Debug)]
enum Damage {
    CutOff,
    Bit,
    Missing,
    /// Another file of the snapshot stands in its place.
    Swapped,
    /// What an earlier snapshot had under this name stands in its place.
    Stale,
}

/// Files that stand as they stood before the damage, when this is dropped.
struct Mended(Vec<(PathBuf, Vec<u8>)>);

impl Drop for Mended {
    fn drop(&mut self) {
        self.0.iter().for_each(|(path, content)| fs::write(path, content).unwrap());
    }
}

/// The files of a snapshot: its manifest, and the files that only it names.
fn own_files(folder: &Path, id: u64) -> Vec<PathBuf> {
    let repository = repository(folder);
    let named = |id: u64| repository.manifest(id).unwrap().files().map(|file| file.object.clone()).collect::<Vec<_>>();
    let others: Vec<String> =
        repository.ids().unwrap().into_iter().filter(|other| *other != id).flat_map(named).collect();
    let own = named(id).into_iter().filter(|object| !others.contains(object)).map(|object| object.into());
    let place = folder.join("snapshots");
    [PathBuf::from(format!("manifests/{id:010}"))]
        .into_iter()
        .chain(own)
        .map(|name: PathBuf| place.join(name))
        .collect()
}

/// Damages a file; `None` if that would change nothing.
fn damage(files: &[PathBuf], earlier: &[PathBuf], dice: &mut Dice) -> Option<(Damage, Mended)> {
    let path = &files[dice.below(files.len() as u64) as usize];
    let content = fs::read(path).unwrap();
    let kinds = [Damage::CutOff, Damage::Bit, Damage::Missing, Damage::Swapped, Damage::Stale];
    let kind = kinds[dice.below(5) as usize];
    let at = dice.below(content.len().max(1) as u64) as usize;
    let mut mended = vec![(path.clone(), content.clone())];
    match kind {
        Damage::CutOff if content.is_empty() => return None,
        Damage::CutOff => fs::write(path, &content[..at]).unwrap(),
        Damage::Bit => {
            let mut content = content;
            *content.get_mut(at)? ^= 1 << dice.below(8);
            fs::write(path, content).unwrap();
        }
        Damage::Missing => fs::remove_file(path).unwrap(),
        Damage::Swapped => {
            let other = &files[dice.below(files.len() as u64) as usize];
            let theirs = fs::read(other).unwrap();
            if theirs == content {
                return None;
            }
            fs::write(path, &theirs).unwrap();
            fs::write(other, &content).unwrap();
            mended.push((other.clone(), theirs));
        }
        Damage::Stale => {
            let former = earlier.iter().find(|former| former.file_name() == path.file_name() || path == &files[0])?;
            let former = fs::read(former).unwrap();
            if former == content {
                return None;
            }
            fs::write(path, former).unwrap();
        }
    }
    Some((kind, Mended(mended)))
}

/// A folder with a job that crashed, with a few snapshots of different cuts behind it.
fn crashed(partitions: &[Vec<String>], stores: &Arc<dyn Stores>) -> tempfile::TempDir {
    for _ in 0..20 {
        let scratch = scratch::folder();
        let variant = Variant {
            snapshot_every: Duration::from_millis(2),
            block: 4,
            crash_after: SHAPE.records / 4 - 100,
            ..Variant::default()
        };
        let outcome = words_in(scratch.path(), partitions, &variant, stores.clone());
        assert!(outcome.ended.is_err(), "{outcome:?}");
        if repository(scratch.path()).ids().unwrap().len() >= 3 {
            return scratch;
        }
    }
    panic!("the job is over before it has three snapshots: the input is too small for this machine");
}

#[test]
fn a_thousand_kinds_of_damage_are_noticed() {
    let partitions = scatter(&lines(&stream(600, SHAPE)), 3, 600);
    let mut dice = Dice(600);
    let stores: [Arc<dyn Stores>; 2] = [Arc::new(MemoryStores), Arc::new(RocksStores::new(16 << 20))];
    for stores in stores {
        let scratch = crashed(&partitions, &stores);
        let repository = repository(scratch.path());
        let ids = repository.ids().unwrap();
        let (newest, before) = (ids[ids.len() - 1], ids[ids.len() - 2]);
        let (files, earlier) = (own_files(scratch.path(), newest), own_files(scratch.path(), before));
        let mut cases = 0;
        while cases < CASES / 2 {
            let Some((kind, mended)) = damage(&files, &earlier, &mut dice) else { continue };
            let intact = repository.manifest(newest).and_then(|manifest| repository.verify(&manifest));
            let path = mended.0[0].0.display();
            assert!(matches!(intact, Err(Error::Corrupt(_))), "case {cases}, {kind:?} of {path}: {intact:?}");
            cases += 1;
        }
        assert!(repository.verify(&repository.manifest(newest).unwrap()).is_ok());
    }
}

#[test]
fn an_older_snapshot_is_used_and_comes_to_the_same() {
    let partitions = scatter(&lines(&stream(601, SHAPE)), 2, 601);
    let expected = super::plain(&partitions);
    let mut dice = Dice(601);
    let stores: Arc<dyn Stores> = Arc::new(MemoryStores);
    let mut runs = 0;
    while runs < RUNS {
        let scratch = crashed(&partitions, &stores);
        let ids = repository(scratch.path()).ids().unwrap();
        let cut = |id: u64| repository(scratch.path()).manifest(id).unwrap().at;
        let (newest, before) = (ids[ids.len() - 1], ids[ids.len() - 2]);
        let (from, files) = (cut(before), own_files(scratch.path(), newest));
        let Some((kind, mut mended)) = damage(&files, &own_files(scratch.path(), before), &mut dice) else { continue };
        let path = std::mem::take(&mut mended.0).remove(0).0;
        let outcome = words(scratch.path(), &partitions, &Variant { workers: 1 + runs % 4, ..Variant::default() });
        assert!(matches!(outcome.ended, Ok(Ended::Complete)), "{kind:?}: {outcome:?}");
        assert_eq!(outcome.restored, Some(from), "{kind:?} of {}", path.display());
        assert_eq!(output(scratch.path()), expected, "{kind:?} of {}", path.display());
        runs += 1;
    }
}
