//! A server that speaks S3, on a free port of this machine, over a folder.

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use tokio::sync::Mutex;

const KEY: &str = "a-key-for-tests";
const SECRET: &str = "a-secret-for-tests";
const BUCKET: &str = "bucket";

/// Starts a server that lives as long as the process. Returns its address.
pub fn start(folder: &Path) -> SocketAddr {
    std::fs::create_dir_all(folder.join(BUCKET)).expect("the server of a test starts");
    let mut service = S3ServiceBuilder::new(FileSystem::new(folder).expect("the server of a test starts"));
    service.set_auth(SimpleAuth::from_single(KEY, SECRET));
    let service = service.build();
    let (tell, started) = channel();
    std::thread::spawn(move || {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("the server of a test starts");
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("the server of a test starts");
            tell.send(listener.local_addr().expect("the server of a test starts"))
                .expect("the server of a test starts");
            let writing = Arc::new(Mutex::new(()));
            while let Ok((socket, _)) = listener.accept().await {
                let (service, writing) = (service.clone(), writing.clone());
                // This server looks whether there is an object, then writes it. S3 does both at once, so one write at a
                // time goes in here.
                let one_by_one = service_fn(move |request: Request<Incoming>| {
                    let (service, writing) = (service.clone(), writing.clone());
                    async move {
                        let _alone = if request.method() == Method::PUT { Some(writing.lock().await) } else { None };
                        service.call(request.map(s3s::Body::from)).await
                    }
                });
                tokio::spawn(async move {
                    // A client that hangs up is none of the server's business.
                    let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), one_by_one).await;
                });
            }
        });
    });
    started.recv().expect("the server of a test starts")
}

/// A place in the server's bucket, as a URL.
pub fn url(prefix: &str) -> String {
    format!("s3://{BUCKET}/{prefix}")
}

/// How a client reaches the server, as variables of its environment.
pub fn environment(server: SocketAddr) -> Vec<(String, String)> {
    let variables = [
        ("AWS_ENDPOINT", format!("http://{server}")),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ALLOW_HTTP", "true".to_owned()),
        ("AWS_ACCESS_KEY_ID", KEY.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
    ];
    variables.map(|(name, value)| (name.to_owned(), value)).to_vec()
}
