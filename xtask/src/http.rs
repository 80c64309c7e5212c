//! As much of an HTTP client as the tests need: one request, one answer, the connection closed.

use crate::failure::{Attempt, Failure, Result};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A server's answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body as text.
    pub body: String,
}

/// The first text of that name in a body of JSON.
pub fn text<'a>(json: &'a str, name: &str) -> Option<&'a str> {
    json.split_once(&format!("\"{name}\":\""))?.1.split('"').next()
}

/// Sends one request, with a JSON body if there is one.
pub fn send(to: SocketAddr, method: &str, path: &str, token: Option<&str>, json: Option<&str>) -> Result<Answer> {
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n");
    if let Some(token) = token {
        request.push_str(&format!("Authorization: Bearer {token}\r\n"));
    }
    if let Some(json) = json {
        request.push_str(&format!("Content-Type: application/json\r\nContent-Length: {}\r\n", json.len()));
    }
    request.push_str("\r\n");
    request.push_str(json.unwrap_or_default());
    let bytes = exchange(to, request.as_bytes()).attempting(|| format!("{method} {path}"))?;
    read_answer(&bytes).ok_or_else(|| Failure::new(format!("{method} {path}: the answer is not HTTP/1.1")))
}

fn exchange(to: SocketAddr, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.set_write_timeout(Some(Duration::from_secs(30)))?;
    stream.write_all(request)?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn read_answer(bytes: &[u8]) -> Option<Answer> {
    let blank = bytes.windows(4).position(|part| part == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..blank]).ok()?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let chunked = head.lines().any(|line| {
        line.to_ascii_lowercase().strip_prefix("transfer-encoding:").is_some_and(|value| value.trim() == "chunked")
    });
    let body = &bytes[blank + 4..];
    let body = if chunked { join_chunks(body)? } else { body.to_vec() };
    Some(Answer { status, body: String::from_utf8_lossy(&body).into_owned() })
}

fn join_chunks(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|part| part == b"\r\n")?;
        let size = std::str::from_utf8(&rest[..line]).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        let from = line + 2;
        body.extend_from_slice(rest.get(from..from + size)?);
        rest = rest.get(from + size + 2..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &str, status: u16, body: &str) {
        let expected = Answer { status, body: body.into() };
        assert_eq!(read_answer(bytes.as_bytes()), Some(expected));
    }

    #[test]
    fn both_framings_of_a_body_are_read() {
        check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", 200, "{}");
        check(
            "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{\"a\r\n4;x=y\r\n\":1}\r\n0\r\n\r\n",
            201,
            "{\"a\":1}",
        );
    }

    #[test]
    fn a_text_is_found_by_its_name() {
        let json = r#"{"batchId":"batch_1","items":[{"batchId":"batch_2"}],"total":5}"#;
        assert_eq!(text(json, "batchId"), Some("batch_1"));
        assert_eq!(text(json, "total"), None);
    }

    #[test]
    fn a_cut_answer_is_refused() {
        for bytes in [
            "",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nff\r\nab",
            "SSH-2.0-x\r\n\r\n",
        ] {
            assert_eq!(read_answer(bytes.as_bytes()), None, "{bytes}");
        }
    }
}
