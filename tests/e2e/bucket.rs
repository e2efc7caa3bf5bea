//! The promise: snapshots may lie in a bucket that speaks S3. A job that is killed goes on from there at another number
//! of workers, and leaves what it would have left with a folder.

use crate::inputs::Sample;
use crate::outputs::Outputs;
use crate::s3;
use crate::support::Place;
use engine::snapshot::objects::Objects;
use engine::snapshot::repository::Repository;
use operators::sample::Plan;

const PLAN: Plan = Plan { seed: 41, orgs: 2, users: 15, days: 4 };

#[test]
fn a_job_goes_on_from_snapshots_in_a_bucket() {
    let place = Place::new();
    let server = s3::start(&place.path("server"));
    let in_folder = Sample::of(PLAN).whole(&place, "folder").with(&["--snapshot-every", "20ms"]);
    let totals = in_folder.run();
    let url = s3::url("jobs/one");
    let mut job = in_folder.beside("data").env("AERIE__JOB__SNAPSHOTS", &url);
    for (name, value) in s3::environment(server) {
        job = job.env(&name, &value);
    }
    let repository = Repository::new(Objects::at_url(&url, s3::environment(server)).expect("there is a server"));
    let mut killed = 0;
    for workers in [2, 1, 3] {
        let before = repository.ids().expect("a bucket can be listed").last().copied().unwrap_or(0);
        let mut running = job.clone().workers(workers).start();
        let newest = || repository.ids().expect("a bucket can be listed").last().copied().unwrap_or(0);
        running.until("two new snapshots", || newest() > before + 2);
        killed += usize::from(running.kill());
    }
    assert!(killed > 0, "every run was over before it was killed: the input is too small for this machine");
    assert_eq!(job.clone().workers(2).run(), totals);
    assert_eq!(job.run(), totals, "a complete job has nothing to do");
    Outputs::of(&job.data_dir).assert_same(&Outputs::of(&in_folder.data_dir), "with snapshots in a bucket");
    assert!(!job.data_dir.join("snapshots").exists(), "nothing of them lies in the data directory");
    let found = repository.list().expect("a bucket can be listed");
    // One that was killed may have been about to remove the oldest of them.
    assert!(found.len() <= 6, "{} snapshots are kept", found.len());
    found
        .iter()
        .for_each(|found| repository.verify(found.manifest.as_ref().expect("it is intact")).expect("it is whole"));
}

#[test]
fn a_bucket_that_does_not_answer_is_a_failure_that_may_pass() {
    let place = Place::new();
    let job = place.job("data", &[place.write_lines("events", &[])]).env("AERIE__JOB__SNAPSHOTS", &s3::url("x"));
    let refused = "127.0.0.1:9".parse().expect("an address");
    let job = s3::environment(refused).into_iter().fold(job, |job, (name, value)| job.env(&name, &value));
    job.end().refused(1, &["s3://bucket/x"]);
    let unknown = place.job("data", &[place.path("events")]).env("AERIE__JOB__SNAPSHOTS", "ftp://bucket");
    unknown.end().refused(2, &["snapshots", "s3://bucket/prefix"]);
}
