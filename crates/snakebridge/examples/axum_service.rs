//! A web service whose work is done by Python: with time limits, back-pressure, and errors that say who has
//! to act.
//!
//! ```sh
//! cargo run --release -p snakebridge --features tokio --example axum_service          # asks itself, and ends
//! cargo run --release -p snakebridge --features tokio --example axum_service -- 8080  # serves
//! curl -d '{"text": "to be or not to be"}' -H 'content-type: application/json' localhost:8080/analyse
//! ```

use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use snakebridge::{Bridge, Error, ErrorKind, Pool};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// What the service is for.
const ANALYSIS: &str = r#"
import collections, time

def analyse(text):
    words = text.lower().split()
    if not words:
        raise ValueError("a text has words")
    if words == ["slow"]:
        time.sleep(60)  # As something does one day.
    (common, count), = collections.Counter(words).most_common(1)
    return {"words": len(words), "common": common, "count": count}
"#;

#[derive(Deserialize)]
struct Request {
    text: String,
}

#[derive(Deserialize, Serialize)]
struct Analysis {
    words: usize,
    common: String,
    count: usize,
}

#[tokio::main]
async fn main() -> Result<()> {
    // A program of your own has its modules in a folder of its source.
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("analysis.py"), ANALYSIS)?;
    // One request runs, two wait, and further ones are refused at once: better than to be late for all.
    let pool = Pool::new().module_path(folder.path()).preload("analysis").workers(1).queue_limit(2);
    let py = Bridge::builder().pool("default", pool).build()?;
    let starting = py.clone();
    // The time that the first one takes to start is not for a request.
    tokio::task::spawn_blocking(move || starting.ready()).await??;
    let service = Router::new().route("/analyse", post(analyse)).with_state(py);

    let port = std::env::args().nth(1);
    let port: u16 = port.as_deref().unwrap_or("0").parse()?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let address = listener.local_addr()?;
    let serving = tokio::spawn(async move { axum::serve(listener, service).await });
    if port == 0 {
        return demonstrate(address).await;
    }
    Ok(serving.await??)
}

/// Where a client goes away, axum drops the future of this, and Python is interrupted.
async fn analyse(
    State(py): State<Bridge>,
    Json(request): Json<Request>,
) -> std::result::Result<Json<Analysis>, Failure> {
    let call = py.call("analysis", "analyse", (request.text,));
    call.timeout(Duration::from_secs(1)).await.map(Json).map_err(Failure)
}

struct Failure(Error);

#[derive(Serialize)]
struct Problem {
    error: String,
    hint: Option<String>,
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = match self.0.kind() {
            // What was asked for makes no sense to the function.
            ErrorKind::Python => StatusCode::UNPROCESSABLE_ENTITY,
            ErrorKind::Saturated => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let hint = self.0.hint().map(str::to_owned);
        let problem = Json(Problem { error: self.0.to_string(), hint });
        match status {
            StatusCode::SERVICE_UNAVAILABLE => {
                (status, [(RETRY_AFTER, "1")], problem).into_response()
            }
            _ => (status, problem).into_response(),
        }
    }
}

/// Asks the service what it should and should not be asked.
#[expect(clippy::print_stdout, reason = "it is what the program is for")]
async fn demonstrate(service: SocketAddr) -> Result<()> {
    let (status, body) = ask(service, "to be or not to be").await?;
    println!("{status} {body}");
    let analysis: Analysis = serde_json::from_str(&body)?;
    assert_eq!((status, analysis.words, analysis.count), (200, 6, 2));

    let (status, body) = ask(service, "").await?;
    println!("{status} {body}");
    assert_eq!(status, 422);

    let mut many = JoinSet::new();
    for _ in 0..8 {
        many.spawn(ask(service, "slow"));
    }
    let mut seen = Vec::new();
    for outcome in many.join_all().await {
        let (status, body) = outcome?;
        println!("{status} {body}");
        seen.push(status);
    }
    assert!(seen.contains(&503) && seen.contains(&504), "{seen:?}");

    let (status, _) = ask(service, "all is well again").await?;
    assert_eq!(status, 200);
    Ok(())
}

/// Status and body of an answer. A program of your own has a library for this.
async fn ask(service: SocketAddr, text: &str) -> Result<(u16, String)> {
    let body = serde_json::json!({ "text": text }).to_string();
    let request = format!(
        "POST /analyse HTTP/1.1\r\nhost: {service}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let mut connection = TcpStream::connect(service).await?;
    connection.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
    let status = head.split(' ').nth(1).ok_or("no status")?.parse()?;
    Ok((status, body.to_owned()))
}
