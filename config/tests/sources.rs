//! Sources: what each kind needs, and what does not go together.

use config::{Flags, Job, JobFile, Layers, SourceKind};

fn file(text: &str) -> Layers {
    let file = JobFile { name: "job.toml".to_owned(), text: format!("[job]\ndata_dir = \"d\"\n{text}") };
    Layers { file: Some(file), ..Layers::default() }
}

fn refused(text: &str) -> String {
    Job::load(&file(text)).expect_err("this must be refused").to_string()
}

const HTTP: &str = "[[source]]\nkind = \"http\"\nlisten = \"127.0.0.1:9465\"\ntokens_file = \"tokens\"\n";
const STDIN: &str = "[[source]]\nkind = \"stdin\"\n";

#[test]
fn http_listens_where_tokens_are_safe() {
    let job = Job::load(&file(HTTP)).expect("valid");
    let SourceKind::Http(http) = &job.sources[0].kind else { panic!("{:?}", job.sources) };
    assert_eq!((http.listen.port(), http.max_ahead), (9_465, 256 << 20));
    assert!(job.sources[0].kind.is_live() && job.sources[0].kind.files().is_empty());

    let anywhere = HTTP.replace("127.0.0.1", "0.0.0.0");
    let told = refused(&anywhere);
    assert!(told.contains("tokens would come in the clear") && told.contains("allow_plain = true"), "{told}");
    let allowed = format!("{anywhere}allow_plain = true\nmax_ahead = \"1MiB\"\n");
    let job = Job::load(&file(&allowed)).expect("somebody has said so");
    let SourceKind::Http(http) = &job.sources[0].kind else { panic!("{:?}", job.sources) };
    assert_eq!((http.listen.to_string().as_str(), http.max_ahead), ("0.0.0.0:9465", 1 << 20));

    let told = refused("[[source]]\nkind = \"http\"\nspeaks_for = [\"E1\"]\nfollow = true\n");
    for part in ["source[0].listen is missing", "source[0].tokens_file is missing", "follow is no key"] {
        assert!(told.contains(part), "{part} in {told}");
    }
    let told = refused(&format!("{HTTP}speaks_for = [\"E1\"]\n"));
    assert!(told.contains("speaks_for") && told.contains("is said for each token"), "{told}");
}

#[test]
fn there_is_one_stdin_and_one_http() {
    let job = Job::load(&file(&format!("{STDIN}{HTTP}"))).expect("one of each");
    assert_eq!(job.sources.len(), 2);
    let told = refused(&format!("{STDIN}{HTTP}{HTTP}{STDIN}"));
    assert_eq!(told.matches("is that of a source above").count(), 2, "{told}");
    let told = refused(&format!("processes = 2\n{STDIN}"));
    assert!(told.contains("cannot read stdin with several processes"), "{told}");
}

#[test]
fn a_hyphen_is_stdin() {
    let flags = |input: &[&str], follow| {
        let input = input.iter().map(Into::into).collect();
        Flags { input, follow, data_dir: Some("d".into()), ..Flags::default() }
    };
    let job = Job::from_flags(flags(&["-"], false), Vec::new()).expect("enough to run");
    assert!(matches!(job.sources[0].kind, SourceKind::Stdin(_)));
    let told = Job::from_flags(flags(&["-"], true), Vec::new()).expect_err("it follows anyway").to_string();
    assert!(told.contains("--follow") && told.contains("follow is no key"), "{told}");
    let job = Job::from_flags(flags(&["a", "-"], false), Vec::new()).expect("a file of that name");
    assert_eq!(job.sources[0].kind.files().len(), 2);
}
