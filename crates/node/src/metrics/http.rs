//! The page over HTTP: as little of it as Prometheus needs.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tracing::{debug, warn};

/// Connections at once; further ones wait in the operating system.
const CONNECTIONS: usize = 16;

/// How long a caller may take to ask.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// Answers `GET /metrics` on `listener` with what `page` gives, for ever.
///
/// # Errors
/// None now; a connection that can't be accepted is logged and the next one awaited.
pub async fn serve(listener: TcpListener, page: impl Fn() -> String + Send + Sync + 'static) -> io::Result<()> {
    let page = Arc::new(page);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return Ok(()) };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!(%error, "a connection for metrics could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let page = Arc::clone(&page);
        tokio::spawn(async move {
            let _place = place;
            let service = service_fn(move |request| {
                let page = Arc::clone(&page);
                async move { answer(&request, &*page) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .max_buf_size(16 << 10)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                debug!(%error, "a connection for metrics failed");
            }
        });
    }
}

fn answer(
    request: &Request<Incoming>,
    page: &(impl Fn() -> String + ?Sized),
) -> Result<Response<Full<Bytes>>, hyper::http::Error> {
    let (status, body) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => (StatusCode::OK, page()),
        (_, "/metrics") => (StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned()),
        _ => (StatusCode::NOT_FOUND, "the metrics are at /metrics\n".to_owned()),
    };
    Response::builder()
        .status(status)
        .header("content-type", "text/plain; version=0.0.4; charset=utf-8")
        .body(Full::new(Bytes::from(body)))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    async fn ask(line: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, || "quorate_view 7\n".to_owned()));
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("{line} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn the_page_is_at_metrics_and_nowhere_else() {
        let page = ask("GET /metrics").await;
        assert!(page.starts_with("HTTP/1.1 200") && page.ends_with("quorate_view 7\n"), "{page}");
        assert!(ask("GET /").await.starts_with("HTTP/1.1 404"));
        assert!(ask("POST /metrics").await.starts_with("HTTP/1.1 405"));
    }
}
