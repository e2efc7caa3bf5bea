//! The repository: snapshots in an object store. Owned here: what lies under which name, who may publish, and that
//! nothing is deleted which a snapshot needs.
//!
//! ```text
//! manifests/0000000012      a snapshot; created once, so of two writers one wins
//! generations/0000000003    claimed by a run before it reads anything
//! names/before-upgrade      the number of a snapshot that is kept until the name is taken away
//! files/…                   files of keyed state, each written for one snapshot and named by any number of them
//! ```

use super::manifest::Manifest;
use super::objects::{Objects, Put};
use super::shelf::{FILES, Shelf, StoredFile};
use crate::error::Error;
use crate::ledger::superseded;
use crate::time::Stamp;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const MANIFESTS: &str = "manifests";
const GENERATIONS: &str = "generations";
const NAMES: &str = "names";

/// The longest name of a snapshot, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// Snapshots in an object store. Cheap to clone.
#[derive(Clone)]
pub struct Repository {
    objects: Objects,
}

/// What stands in a repository under one number.
#[derive(Debug)]
pub struct Found {
    /// The number.
    pub id: u64,
    /// When it was published: milliseconds since 1970, by the store's clock.
    pub written_ms: u64,
    /// The manifest, or why it cannot be used.
    pub manifest: Result<Manifest, Error>,
}

impl Repository {
    /// Opens the repository in an object store.
    pub fn new(objects: Objects) -> Self {
        Repository { objects }
    }

    /// Where it is.
    pub fn place(&self) -> &str {
        self.objects.place()
    }

    /// Claims a generation above all earlier ones and above `least`: no run has had it, none will. What an older one
    /// tries to publish from now on fails once this one has published.
    pub fn claim_generation(&self, least: u64) -> Result<u64, Error> {
        let mut generation = self.generation()?.max(least);
        loop {
            generation += 1;
            if self.objects.create(&format!("{GENERATIONS}/{generation:010}"), Vec::new())? == Put::Done {
                return Ok(generation);
            }
        }
    }

    /// Takes a claim back under which nothing was done.
    pub(super) fn give_up_generation(&self, generation: u64) -> Result<(), Error> {
        self.objects.delete(&format!("{GENERATIONS}/{generation:010}"))
    }

    /// The newest generation, zero if there was none.
    pub fn generation(&self) -> Result<u64, Error> {
        let numbers = self.objects.list(GENERATIONS)?;
        Ok(numbers.iter().filter_map(|listed| listed.name.parse().ok()).max().unwrap_or(0))
    }

    /// Makes files that are durable already a snapshot. Refused with [`superseded`] when another generation has a
    /// snapshot of this number.
    pub fn publish(&self, manifest: &Manifest) -> Result<(), Error> {
        match self.try_publish(manifest)? {
            Put::Done => Ok(()),
            Put::Taken => {
                let newer = self.manifest(manifest.id).map_or(manifest.generation, |winner| winner.generation);
                Err(superseded(manifest.generation, newer))
            }
        }
    }

    /// As [`Repository::publish`], saying whether the number was taken.
    pub fn try_publish(&self, manifest: &Manifest) -> Result<Put, Error> {
        self.objects.create(&manifest_name(manifest.id), manifest.to_bytes()?)
    }

    /// The numbers of all snapshots, ascending, whether or not they can be read.
    pub fn ids(&self) -> Result<Vec<u64>, Error> {
        Ok(self.published()?.into_keys().collect())
    }

    /// Number of each snapshot, and when it was published.
    fn published(&self) -> Result<BTreeMap<u64, u64>, Error> {
        let listed = self.objects.list(MANIFESTS)?;
        Ok(listed.iter().filter_map(|listed| Some((listed.name.parse().ok()?, listed.written_ms))).collect())
    }

    /// All snapshots, ascending. An error when the repository does not answer; damage is in the manifest's place.
    pub fn list(&self) -> Result<Vec<Found>, Error> {
        let mut found = Vec::new();
        for (id, written_ms) in self.published()? {
            match self.manifest(id) {
                Err(error @ Error::Unavailable(_)) => return Err(error),
                manifest => found.push(Found { id, written_ms, manifest }),
            }
        }
        Ok(found)
    }

    /// The manifest of a snapshot.
    pub fn manifest(&self, id: u64) -> Result<Manifest, Error> {
        let name = manifest_name(id);
        let place = format!("{name} in {}", self.place());
        let Some(bytes) = self.objects.read(&name)? else {
            return Err(Error::Corrupt(format!("{place} is missing")));
        };
        let manifest = Manifest::parse(&bytes, &place)?;
        if manifest.id != id {
            return Err(Error::Corrupt(format!("{place} is the manifest of snapshot {}", manifest.id)));
        }
        Ok(manifest)
    }

    /// Where an operator's files of one generation and worker go. `stored` are those that its store still has under the
    /// same names.
    pub fn shelf(&self, generation: u64, part: &str, stored: Vec<StoredFile>) -> Shelf {
        Shelf::new(self.objects.clone(), generation, part, stored)
    }

    /// Reads every file of a snapshot and compares it with the manifest.
    pub fn verify(&self, manifest: &Manifest) -> Result<(), Error> {
        manifest.files().try_for_each(|file| file.verify(&self.objects))
    }

    /// Copies files of a snapshot into an empty folder, each compared with the manifest.
    pub fn fetch(&self, files: &[StoredFile], folder: &Path) -> Result<(), Error> {
        files.iter().try_for_each(|file| file.fetch(&self.objects, folder))
    }

    /// Names and the snapshots that they keep.
    pub fn names(&self) -> Result<BTreeMap<String, u64>, Error> {
        let mut names = BTreeMap::new();
        for listed in self.objects.list(NAMES)? {
            let bytes = self.objects.read(&format!("{NAMES}/{}", listed.name))?;
            let id = bytes.as_deref().map(|bytes| std::str::from_utf8(bytes).ok()?.parse().ok());
            match id {
                // Taken away since it was listed.
                None => continue,
                Some(Some(id)) => names.insert(listed.name, id),
                Some(None) => {
                    let name = listed.name.escape_debug();
                    return Err(Error::Corrupt(format!("the name {name} in {} is damaged: remove it", self.place())));
                }
            };
        }
        Ok(names)
    }

    /// Gives a snapshot a name, which keeps it until the name is taken away.
    pub fn save(&self, id: u64, name: &str) -> Result<(), Error> {
        check_name(name)?;
        let taken = || Error::Invalid(format!("the name {name} is taken in {}: choose another", self.place()));
        let gone = || Error::Invalid(format!("there is no snapshot {id} in {}; see `snapshots list`", self.place()));
        if !self.published()?.contains_key(&id) {
            return Err(gone());
        }
        if self.objects.create(&format!("{NAMES}/{name}"), id.to_string().into_bytes())? == Put::Taken {
            return Err(taken());
        }
        // It may have been deleted since, by who had not seen the name.
        if !self.published()?.contains_key(&id) {
            self.objects.delete(&format!("{NAMES}/{name}"))?;
            return Err(gone());
        }
        Ok(())
    }

    /// Takes a name away. False if there is no such name.
    pub fn forget(&self, name: &str) -> Result<bool, Error> {
        check_name(name)?;
        let known = self.names()?.contains_key(name);
        self.objects.delete(&format!("{NAMES}/{name}"))?;
        Ok(known)
    }

    /// Deletes snapshots, first their manifests, so that they stop being snapshots at once, then the files that no
    /// other snapshot names. A snapshot that was given a name meanwhile stays. Returns those that are gone.
    pub fn remove(&self, ids: &BTreeSet<u64>) -> Result<BTreeSet<u64>, Error> {
        let (mut going, mut gone) = (Vec::new(), BTreeSet::new());
        for id in ids {
            let manifest = match self.manifest(*id) {
                // Its files cannot be told from others; they lie until a later run sweeps.
                Err(Error::Corrupt(_)) => None,
                manifest => Some(manifest?),
            };
            let named = || Ok::<bool, Error>(self.names()?.values().any(|named| named == id));
            if named()? {
                continue;
            }
            self.objects.delete(&manifest_name(*id))?;
            match manifest {
                // It was given a name just now, by who had seen it.
                Some(manifest) if named()? => drop(self.try_publish(&manifest)?),
                manifest => {
                    going.extend(manifest);
                    gone.insert(*id);
                }
            }
        }
        let Some(kept) = self.named_objects()? else { return Ok(gone) };
        let files: BTreeSet<&str> = going.iter().flat_map(Manifest::files).map(|file| file.object.as_str()).collect();
        files
            .into_iter()
            .filter(|object| !kept.contains(*object))
            .try_for_each(|object| self.objects.delete(object))?;
        Ok(gone)
    }

    /// Deletes files that no snapshot names, of those written before `generation` has asked for snapshot `asked`: what was
    /// left by runs that ended before they published, and for snapshots that came to nothing. Returns how many.
    pub fn sweep(&self, generation: u64, asked: u64) -> Result<usize, Error> {
        let Some(kept) = self.named_objects()? else { return Ok(0) };
        let due = |name: &str| written_for(name).is_some_and(|written| written < (generation, asked));
        let mut swept = 0;
        for listed in self.objects.list_below(FILES)? {
            if due(&listed.name) && !kept.contains(&listed.name) {
                self.objects.delete(&listed.name)?;
                swept += 1;
            }
        }
        self.objects.remove_unfinished(FILES, due)?;
        Ok(swept)
    }

    /// The files that snapshots name. `None` if one of them is of another version: then nothing may be deleted. A
    /// damaged one names nothing that could still be restored.
    fn named_objects(&self) -> Result<Option<BTreeSet<String>>, Error> {
        let mut named = BTreeSet::new();
        for found in self.list()? {
            match found.manifest {
                Ok(manifest) => named.extend(manifest.files().map(|file| file.object.clone())),
                Err(Error::Unfit(_)) => return Ok(None),
                Err(_) => {}
            }
        }
        Ok(Some(named))
    }
}

/// The cut of each readable snapshot, for [`super::retention`].
pub fn cuts(found: &[Found]) -> Vec<(u64, Stamp)> {
    found.iter().filter_map(|found| found.manifest.as_ref().ok().map(|manifest| (found.id, manifest.at))).collect()
}

/// The generation that a file was written by, and the number under which it had asked for the snapshot.
fn written_for(object: &str) -> Option<(u64, u64)> {
    let mut parts = object.split('/').skip(1);
    Some((parts.next()?.parse().ok()?, parts.nth(1)?.parse().ok()?))
}

fn manifest_name(id: u64) -> String {
    format!("{MANIFESTS}/{id:010}")
}

fn check_name(name: &str) -> Result<(), Error> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(fits) && !name.starts_with('.') {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "`{}` is no name for a snapshot: up to {NAME_BYTES_MAX} letters, digits, dots, dashes and underscores, not \
         starting with a dot",
        name.escape_debug()
    )))
}
