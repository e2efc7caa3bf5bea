//! The shipped files: that each is a valid job, and that every default is explained.

use config::{Flags, Job, JobFile, Layers};
use std::path::Path;

#[test]
fn every_shipped_job_is_valid() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs");
    let mut checked = 0;
    for entry in std::fs::read_dir(&folder).expect("config/jobs is a folder") {
        let path = entry.expect("config/jobs can be listed").path();
        let text = std::fs::read_to_string(&path).expect("a job file is text");
        let layers = Layers { file: Some(JobFile { name: path.display().to_string(), text }), ..Layers::default() };
        if let Err(problems) = Job::load(&layers) {
            panic!("{problems}");
        }
        checked += 1;
    }
    assert!(checked > 0, "no job files under {}", folder.display());
}

#[test]
fn the_defaults_lack_only_what_each_job_must_say() {
    let problems = Job::from_flags(Flags::default(), Vec::new()).expect_err("a job must say what it reads");
    let missing: Vec<_> = problems.0.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(missing, ["job.data_dir", "source"]);
}

#[test]
fn every_default_is_explained_above_it() {
    for block in config::DEFAULTS.split("\n\n") {
        let settings = block.lines().filter(|line| !line.starts_with('#') && !line.starts_with('['));
        let explained = block.lines().any(|line| line.starts_with('#'));
        assert!(explained || settings.count() == 0, "no comment in:\n{block}");
    }
}
