//! The program. (temporary driver)
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let flags = config::Flags {
        input: vec![a[1].clone().into()],
        control: vec![a[2].clone().into()],
        tor_list: Some(a[3].clone().into()),
        data_dir: Some(a[4].clone().into()),
        workers: Some(a[5].clone()),
        ..Default::default()
    };
    let job = config::Job::from_flags(flags, vec![]).unwrap_or_else(|e| panic!("{e}"));
    let watch = aerie::run::Watch::default();
    match aerie::run::run(&job, &watch) {
        Ok(f) => println!("{}", serde_json::to_string(&f.totals).unwrap()),
        Err(e) => println!("ERR {e}"),
    }
}
