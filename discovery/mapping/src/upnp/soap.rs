//! The three actions of a WAN connection service that we use, as SOAP 1.1 writes them.

use std::{fmt::Write as _, net::SocketAddrV4};

use roxmltree::{Document, ParsingOptions};

use super::description::MAX_NODES;
use crate::{PortWish, Protocol};

/// An action with its arguments, all of which are ours: numbers and fixed words.
#[derive(Debug)]
pub(super) struct Action {
    name: &'static str,
    arguments: Vec<(&'static str, String)>,
}

/// A fault with UPnP's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault(pub(super) u16);

/// What an action gave.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer(Vec<(String, String)>);

/// Arguments that an answer may have; ours have at most one.
const MAX_ARGUMENTS: usize = 16;

impl Action {
    pub(super) fn external_address() -> Self {
        Self { name: "GetExternalIPAddress", arguments: Vec::new() }
    }

    /// The order of the arguments is the specification's; some routers insist on it.
    pub(super) fn add(wish: &PortWish, external: u16, internal: SocketAddrV4, lifetime: u32) -> Self {
        let name: String = wish.name.chars().filter(char::is_ascii_alphanumeric).collect();
        Self {
            name: "AddPortMapping",
            arguments: vec![
                ("NewRemoteHost", String::new()),
                ("NewExternalPort", external.to_string()),
                ("NewProtocol", wish.protocol.to_string()),
                ("NewInternalPort", internal.port().to_string()),
                ("NewInternalClient", internal.ip().to_string()),
                ("NewEnabled", "1".to_owned()),
                ("NewPortMappingDescription", format!("Causeway {name}")),
                ("NewLeaseDuration", lifetime.to_string()),
            ],
        }
    }

    pub(super) fn delete(protocol: Protocol, external: u16) -> Self {
        Self {
            name: "DeletePortMapping",
            arguments: vec![
                ("NewRemoteHost", String::new()),
                ("NewExternalPort", external.to_string()),
                ("NewProtocol", protocol.to_string()),
            ],
        }
    }

    /// The value of the header SOAPAction.
    pub(super) fn header(&self, service: &str) -> String {
        format!("\"{service}#{}\"", self.name)
    }

    pub(super) fn envelope(&self, service: &str) -> String {
        let mut arguments = String::new();
        for (name, value) in &self.arguments {
            let _ = write!(arguments, "<{name}>{value}</{name}>"); // writing to a string cannot fail
        }
        let name = self.name;
        format!(
            "<?xml version=\"1.0\"?>\r\n<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" \
             s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body>\
             <u:{name} xmlns:u=\"{service}\">{arguments}</u:{name}></s:Body></s:Envelope>\r\n"
        )
    }
}

impl Answer {
    /// An argument; empty if it is there without a text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, text)| text.as_str())
    }
}

/// Reads what a service answers, or `None` if that is no envelope.
pub(super) fn read(page: &str) -> Option<Result<Answer, Fault>> {
    let options = ParsingOptions { allow_dtd: false, nodes_limit: MAX_NODES, entity_resolver: None };
    let document = Document::parse_with_options(page, options).ok()?;
    let body = document.descendants().find(|node| node.tag_name().name() == "Body")?;
    let first = body.children().find(|node| node.is_element())?;
    if first.tag_name().name() == "Fault" {
        let code = first.descendants().find(|node| node.tag_name().name() == "errorCode")?;
        return Some(Err(Fault(code.text()?.trim().parse().ok()?)));
    }
    let arguments = first.children().filter(|node| node.is_element()).take(MAX_ARGUMENTS);
    let pair = |node: roxmltree::Node<'_, '_>| {
        (node.tag_name().name().to_owned(), node.text().unwrap_or_default().to_owned())
    };
    Some(Ok(Answer(arguments.map(pair).collect())))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn envelope(body: &str) -> String {
        format!(
            "<?xml version=\"1.0\"?><s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body>{body}\
             </s:Body></s:Envelope>"
        )
    }

    #[test]
    fn an_answer_and_a_fault_are_read() {
        let address = envelope(
            "<u:GetExternalIPAddressResponse xmlns:u=\"x\"><NewExternalIPAddress>1.2.3.4</NewExternalIPAddress>\
             </u:GetExternalIPAddressResponse>",
        );
        let answer = read(&address).expect("an envelope").expect("no fault");
        assert_eq!(answer.text("NewExternalIPAddress"), Some("1.2.3.4"));
        assert_eq!(answer.text("Other"), None);

        let fault = envelope(
            "<s:Fault><faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring><detail><UPnPError>\
             <errorCode>718</errorCode></UPnPError></detail></s:Fault>",
        );
        assert_eq!(read(&fault), Some(Err(Fault(718))));
        assert_eq!(read(&fault.replace("718", "x")), None);
        assert_eq!(read("<html></html>"), None);
    }

    #[test]
    fn a_wish_is_written_with_its_arguments_in_order() {
        let wish = PortWish { protocol: Protocol::Udp, internal: 4, name: "<q&uic>" };
        let internal = SocketAddrV4::new([192, 168, 1, 10].into(), 4);
        let action = Action::add(&wish, 5, internal, 60);

        let text = action.envelope("urn:x");

        assert!(text.contains(
            "<u:AddPortMapping xmlns:u=\"urn:x\"><NewRemoteHost></NewRemoteHost><NewExternalPort>5</NewExternalPort>\
             <NewProtocol>UDP</NewProtocol><NewInternalPort>4</NewInternalPort>\
             <NewInternalClient>192.168.1.10</NewInternalClient><NewEnabled>1</NewEnabled>\
             <NewPortMappingDescription>Causeway quic</NewPortMappingDescription>\
             <NewLeaseDuration>60</NewLeaseDuration></u:AddPortMapping>"
        ));
        assert_eq!(action.header("urn:x"), "\"urn:x#AddPortMapping\"");
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text: String) {
            let _ = read(&text);
        }
    }
}
