//! `causeway dns`: lists of node records in the DNS, signed and read.

use std::{io::Read, path::Path, process::ExitCode, str::FromStr};

use anyhow::{Context, bail};
use causeway_discovery::{DnsClient, Pace, Reading, Trees};
use causeway_records::{
    Record,
    dns_tree::{Limits, Link, Root, SyncEvent, Tree},
};
use serde_json::{Value, json};

use super::{enr, explain, print_line};
use crate::{
    cli::{DnsCommand, DnsReadArgs, DnsSignArgs},
    identity,
};

/// Largest file of records that is read.
const MAX_FILE: u64 = 16 * 1024 * 1024;

/// Signs, shows or reads a list.
///
/// # Errors
/// If an argument cannot be used, or no root can be had.
pub(crate) async fn run(command: DnsCommand) -> anyhow::Result<ExitCode> {
    match command {
        DnsCommand::Sign(args) => sign(&args),
        DnsCommand::Show(args) => show(&args).await,
        DnsCommand::Sync(args) => sync(&args).await,
    }
}

fn sign(args: &DnsSignArgs) -> anyhow::Result<ExitCode> {
    let mut records = Vec::new();
    for argument in &args.records {
        if argument.starts_with("enr:") {
            records.push(Record::from_str(argument).with_context(|| format!("the record {argument}"))?);
        } else {
            records.extend(read_file(argument)?);
        }
    }
    let links = args.links.iter().map(|text| Link::from_str(text).with_context(|| format!("--link {text}")));
    let links = links.collect::<Result<Vec<_>, _>>()?;
    let secret_key = identity::load_or_create(&args.key)?;
    let tree = Tree::sign(&secret_key, &args.domain, args.seq, records, links).context("--domain")?;
    if args.json {
        let texts: serde_json::Map<String, Value> =
            tree.txt_records().into_iter().map(|(name, text)| (name, text.into())).collect();
        let object = json!({
            "schema": 1,
            "url": tree.link().to_string(),
            "seq": tree.root().seq,
            "nodes": tree.records(),
            "txt": texts,
        });
        print_line(&object.to_string());
    } else {
        print_line(tree.zone().trim_end());
        eprintln!("{}", tree.link());
    }
    Ok(ExitCode::SUCCESS)
}

/// The records in a file, one in each line; blank lines and those that begin with # are passed over.
fn read_file(name: &str) -> anyhow::Result<Vec<Record>> {
    let mut text = String::new();
    let read = if name == "-" {
        std::io::stdin().lock().take(MAX_FILE).read_to_string(&mut text)
    } else {
        std::fs::File::open(Path::new(name)).and_then(|file| file.take(MAX_FILE).read_to_string(&mut text))
    };
    read.with_context(|| format!("reading records from `{name}`"))?;
    let lines = text.lines().map(str::trim).enumerate();
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(index, line)| Record::from_str(line).with_context(|| format!("`{name}`, line {}", index + 1)))
        .collect()
}

fn client(args: &DnsReadArgs) -> anyhow::Result<(DnsClient, Link)> {
    let link = Link::from_str(&args.url).with_context(|| args.url.clone())?;
    let client = match args.server {
        Some(addr) => DnsClient::server(addr)?,
        None => DnsClient::system().context("name a server with --server")?,
    };
    Ok((client, link))
}

async fn show(args: &DnsReadArgs) -> anyhow::Result<ExitCode> {
    let (client, link) = client(args)?;
    let texts = client.texts(&link.domain).await.with_context(|| format!("asking for {}", link.domain))?;
    let Some(text) = texts.iter().find(|text| text.starts_with("enrtree-root:")) else {
        bail!("{} has no entry of a node list", link.domain);
    };
    let root = Root::from_str(text).with_context(|| format!("the root at {}", link.domain))?;
    let verified = root.is_signed_by(&link.key);
    let object = json!({
        "schema": 1,
        "verified": verified,
        "url": link.to_string(),
        "seq": root.seq,
        "records": root.records.to_string(),
        "links": root.links.to_string(),
    });
    if args.json {
        print_line(&object.to_string());
    } else {
        let signed =
            if verified { "signed by the key in the URL" } else { "NOT signed by the key in the URL" };
        print_line(&format!("{} seq {}, {signed}", link.domain, root.seq));
        print_line(&format!("records under {}, links under {}", root.records, root.links));
    }
    Ok(ExitCode::from(u8::from(!verified)))
}

async fn sync(args: &DnsReadArgs) -> anyhow::Result<ExitCode> {
    let (client, link) = client(args)?;
    let mut reading = Reading::new(client, [link], Trees::new(), Limits::default(), Pace::default());
    let (mut lists, mut complete) = (Vec::new(), true);
    while let Some(event) = reading.next().await {
        match event {
            SyncEvent::Found { record, .. } if !args.json => print_line(&record.to_string()),
            SyncEvent::Found { .. } => {}
            SyncEvent::Done { link, outcome: Ok(tree) } => {
                eprintln!("{}: seq {}, {} nodes", link.domain, tree.root.seq, tree.records.len());
                lists.push(json!({
                    "url": link.to_string(),
                    "verified": true,
                    "seq": tree.root.seq,
                    "records": tree.records.iter().map(enr::object).collect::<Vec<_>>(),
                    "links": tree.links.iter().map(ToString::to_string).collect::<Vec<_>>(),
                    "skipped": tree.skipped,
                }));
            }
            SyncEvent::Done { link, outcome: Err(fault) } => {
                let error = explain(&fault.into());
                eprintln!("{}: {error}", link.domain);
                lists.push(json!({ "url": link.to_string(), "verified": false, "error": error }));
                complete = false;
            }
        }
    }
    if args.json {
        print_line(&json!({ "schema": 1, "verified": complete, "lists": lists }).to_string());
    }
    Ok(ExitCode::from(u8::from(!complete)))
}

#[cfg(test)]
mod tests {
    use causeway_records::Contents;

    use super::*;

    #[test]
    fn records_are_read_line_by_line_and_a_bad_one_is_named() {
        let file = std::env::temp_dir().join(format!("causeway-records-{}", rand::random::<u64>()));
        let name = file.display().to_string();
        let record = Record::sign(&identity::generate(), 1, &Contents::default()).expect("fits").record;

        std::fs::write(&file, format!("# ours\n\n {record} \n")).expect("written");
        assert_eq!(read_file(&name).expect("read"), [record]);

        std::fs::write(&file, "# ours\nenr:AA\n").expect("written");
        let error = read_file(&name).expect_err("refused");
        assert!(error.to_string().ends_with("line 2"), "{error}");
        std::fs::remove_file(file).expect("removed");
    }
}
