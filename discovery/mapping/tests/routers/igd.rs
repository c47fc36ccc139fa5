//! A UPnP router: SSDP, a description, SOAP.

use std::{
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
};

/// What it answers to an action.
pub(crate) enum Reaction {
    Arguments(&'static str),
    Fault(u16),
    /// Not SOAP.
    Page(String),
    /// Without an end.
    Flood,
    Silence,
}

type React = Box<dyn FnMut(&str, &str) -> Reaction + Send>;

/// Names and bodies of the actions that were called.
pub(crate) type Calls = Arc<Mutex<Vec<(String, String)>>>;

/// Starts one; gives where it is searched.
pub(crate) async fn igd(react: impl FnMut(&str, &str) -> Reaction + Send + 'static) -> (SocketAddrV4, Calls) {
    let http = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a listener");
    let location = format!("http://{}/desc/root.xml", http.local_addr().expect("an address"));
    let calls = Calls::default();
    let seen = calls.clone();
    tokio::spawn(async move {
        let mut react: React = Box::new(react);
        while let Ok((stream, _)) = http.accept().await {
            let _ = serve(stream, &mut react, &seen).await;
        }
    });
    (ssdp(move |_| vec![answer(&location)]).await, calls)
}

/// An answer to a search.
pub(crate) fn answer(location: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=120\r\nST: upnp:rootdevice\r\nLOCATION: {location}\r\n\r\n"
    )
    .into_bytes()
}

/// Answers searches.
pub(crate) async fn ssdp(mut answers: impl FnMut(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> SocketAddrV4 {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a socket");
    let Ok(SocketAddr::V4(address)) = socket.local_addr() else { panic!("an address") };
    tokio::spawn(async move {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            assert!(buffer[..length].starts_with(b"M-SEARCH * HTTP/1.1\r\n"));
            for packet in answers(&buffer[..length]) {
                let _ = socket.send_to(&packet, from).await;
            }
        }
    });
    address
}

const DESCRIPTION: &str = "<?xml version=\"1.0\"?><root xmlns=\"urn:schemas-upnp-org:device-1-0\"><device><deviceList>\
    <device><serviceList><service><serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType>\
    <controlURL>../ctl/IPConn</controlURL></service></serviceList></device></deviceList></device></root>";

async fn serve(mut stream: TcpStream, react: &mut React, calls: &Calls) -> std::io::Result<()> {
    let mut request = Vec::new();
    let (head, length) = loop {
        let mut piece = [0; 1024];
        let read = stream.read(&mut piece).await?;
        if read == 0 {
            return Ok(());
        }
        request.extend(&piece[..read]);
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = header(head, "content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
            if body.len() >= length {
                break (head.to_owned(), length);
            }
        }
    };
    let body = String::from_utf8_lossy(&request[request.len() - length..]).into_owned();
    if head.starts_with("GET /desc/root.xml ") {
        return page(&mut stream, "200 OK", DESCRIPTION).await;
    }
    assert!(head.starts_with("POST /desc/../ctl/IPConn "), "{head}");
    let action = header(&head, "soapaction").expect("an action");
    let name = action.trim_matches('"').rsplit_once('#').expect("a name").1.to_owned();
    calls.lock().expect("unpoisoned").push((name.clone(), body.clone()));
    match react(&name, &body) {
        Reaction::Arguments(arguments) => {
            let response = format!("<u:{name}Response xmlns:u=\"x\">{arguments}</u:{name}Response>");
            page(&mut stream, "200 OK", &envelope(&response)).await
        }
        Reaction::Fault(code) => {
            let fault = format!(
                "<s:Fault><faultcode>s:Client</faultcode><detail><UPnPError xmlns=\"x\"><errorCode>{code}\
                 </errorCode></UPnPError></detail></s:Fault>"
            );
            page(&mut stream, "500 Internal Server Error", &envelope(&fault)).await
        }
        Reaction::Page(text) => page(&mut stream, "200 OK", &text).await,
        Reaction::Flood => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            loop {
                stream.write_all(&[b'x'; 4096]).await?;
            }
        }
        Reaction::Silence => {
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await.map(|_| ())
        }
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (known, value) = line.split_once(':')?;
        known.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

fn envelope(body: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?><s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body>{body}\
         </s:Body></s:Envelope>"
    )
}

async fn page(stream: &mut TcpStream, status: &str, text: &str) -> std::io::Result<()> {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", text.len());
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(text.as_bytes()).await
}
