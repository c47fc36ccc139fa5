//! Finds the service that maps ports in a device's description (UPnP Device Architecture 1.1, 2.3).

use roxmltree::{Document, Node, ParsingOptions};

use super::{Device, Location};

/// Elements, attributes and texts of a page; real ones have some hundred.
pub(super) const MAX_NODES: u32 = 10_000;
/// Services that a router may offer for it.
const MAX_SERVICES: usize = 4;
/// The services that map ports, of IP and PPP connections.
const SERVICES: [&str; 3] = [
    "urn:schemas-upnp-org:service:WANIPConnection:2",
    "urn:schemas-upnp-org:service:WANIPConnection:1",
    "urn:schemas-upnp-org:service:WANPPPConnection:1",
];

/// The services of a description that was read at `location`, or `None` if it is not XML.
pub(super) fn read(page: &str, location: &Location) -> Option<Vec<Device>> {
    let options = ParsingOptions { allow_dtd: false, nodes_limit: MAX_NODES, entity_resolver: None };
    let document = Document::parse_with_options(page, options).ok()?;
    let child = |node: Node<'_, '_>, name: &str| {
        node.children().find(|child| child.tag_name().name() == name)?.text().map(str::to_owned)
    };
    let base = child(document.root_element(), "URLBase").and_then(|base| location.join(&base));
    let base = base.unwrap_or_else(|| location.clone());
    let services = document.descendants().filter(|node| node.tag_name().name() == "service");
    let device = |service: Node<'_, '_>| {
        let written = child(service, "serviceType")?;
        let service_type = SERVICES.into_iter().find(|known| *known == written.trim())?;
        Some(Device { service: service_type, control: base.join(&child(service, "controlURL")?)? })
    };
    Some(services.filter_map(device).take(MAX_SERVICES).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn location() -> Location {
        Location::parse("http://192.168.1.1:5000/rootDesc.xml").expect("a location")
    }

    fn page(control: &str, base: &str) -> String {
        format!(
            "<?xml version=\"1.0\"?>\n<root xmlns=\"urn:schemas-upnp-org:device-1-0\">{base}<device><deviceList>\
             <device><serviceList><service><serviceType>urn:schemas-upnp-org:service:Layer3Forwarding:1</serviceType>\
             <controlURL>/ctl/L3F</controlURL></service><service>\
             <serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType>\
             <controlURL>{control}</controlURL></service></serviceList></device></deviceList></device></root>"
        )
    }

    #[test]
    fn the_service_is_found_in_inner_devices() {
        let devices = read(&page("/ctl/IPConn", ""), &location()).expect("XML");

        assert_eq!(devices.len(), 1);
        assert_eq!(devices[0].service, SERVICES[1]);
        assert_eq!(
            devices[0].control,
            Location::parse("http://192.168.1.1:5000/ctl/IPConn").expect("a location")
        );
    }

    #[test]
    fn a_service_on_another_machine_is_none() {
        assert_eq!(read(&page("http://8.8.8.8/ctl", ""), &location()), Some(vec![]));
        // Such a base is passed over.
        let base = "<URLBase>http://8.8.8.8:80/</URLBase>";
        let devices = read(&page("ctl", base), &location()).expect("XML");
        assert_eq!(devices[0].control.address, location().address);
    }

    #[test]
    fn entities_and_floods_of_elements_are_refused() {
        let bomb = "<!DOCTYPE a [<!ENTITY b \"bbbb\"><!ENTITY c \"&b;&b;\">]><root>&c;</root>";
        assert_eq!(read(bomb, &location()), None);
        let flood = format!("<root>{}</root>", "<a/>".repeat(MAX_NODES as usize));
        assert_eq!(read(&flood, &location()), None);
        let deep = "<a>".repeat(5_000);
        assert_eq!(read(&deep, &location()), None);
        let many = page("/c", "").replace(
            "</serviceList>",
            &format!(
                "{}</serviceList>",
                format!(
                    "<service><serviceType>{}</serviceType><controlURL>/d</controlURL></service>",
                    SERVICES[0]
                )
                .repeat(9)
            ),
        );
        assert_eq!(read(&many, &location()).map(|devices| devices.len()), Some(MAX_SERVICES));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text: String) {
            let _ = read(&text, &location());
        }
    }
}
