//! Node lists in the DNS between Causeway and geth, both ways, with Debian's knot as the name server.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use causeway_records::dns_tree::Link;
use secp256k1::SecretKey;
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, process::Command, time::timeout};

use crate::interop::{
    Stage,
    name_server::{self, NameServer},
    process::PATIENCE,
};

/// The zone that all lists lie in.
const ZONE: &str = "example";

/// Signed by us.
const OURS: &str = "nodes.example";

/// Signed by geth.
const GETHS: &str = "geth.example";

/// Signed by us, and altered afterwards.
const TAMPERED: &str = "tampered.example";

const NODES: u16 = 40;
const OUR_SEQ: u64 = 5;
const GETHS_SEQ: u64 = 7;

/// geth's client asks for three entries a second.
const GETHS_PACE: Duration = Duration::from_secs(90);

/// Longest piece of a TXT record.
const MAX_PIECE: usize = 255;

/// The key that geth signs with.
const GETH_SECRET: [u8; 32] = [0x42; 32];

/// The same in the form that geth's tool wants, with an empty password.
const GETH_KEY_FILE: &str = r#"{
  "address": "17c5185167401ed00cf5f5b2fc97d9bbfdb7d025",
  "crypto": {
    "cipher": "aes-128-ctr",
    "ciphertext": "82d9911880147723016b2c1d1b3d106ae4b9c1937dace6dc8b6096c279a52344",
    "cipherparams": { "iv": "5a8cd63a3b70bf6a3520232940d0c6d9" },
    "kdf": "scrypt",
    "kdfparams": {
      "dklen": 32, "n": 2, "p": 1, "r": 8,
      "salt": "39e6243ae6d4f07731875abf0ef128ddb4cd061c50c032f5226b43ea8da33d44"
    },
    "mac": "9925cc2900ee3b5ed4008f26433f3e28a9ba38db722ad224b9f4cf9bc36a4658"
  },
  "id": "42424242-4242-4242-4242-424242424242",
  "version": 3
}"#;

/// geth asks the system's name servers, at port 53 only: so it gets a network and a `resolv.conf` of its own.
const BESIDE_A_NAME_SERVER: &str = r#"
set -eu
config=$1 resolv=$2 causeway=$3 devp2p=$4 ours=$5 tampered=$6
ip link set lo up
mount --bind "$resolv" /etc/resolv.conf
knotd -c "$config" &
tries=0
until "$causeway" dns show "$ours" --server 127.0.0.1:53; do
    tries=$((tries + 1))
    [ "$tries" -lt 200 ]
    sleep 0.05
done
"$devp2p" dns sync "$tampered" tampered-by-geth 2>tampered-by-geth.err &
other=$!
"$devp2p" dns sync "$ours" ours-by-geth
if wait "$other"; then
    echo 'geth takes the tampered list' >&2
    exit 1
fi
"#;

/// A signed list.
struct List {
    url: String,
    /// Every name with its text.
    texts: BTreeMap<String, String>,
    zone: String,
}

pub(super) async fn run(stage: Stage) -> anyhow::Result<String> {
    let records = records(&stage).await?;
    let file = stage.dir.join("records.txt");
    fs::write(&file, records.iter().fold(String::new(), |text, record| text + record + "\n"))?;
    let geths = Link::new(&SecretKey::from_secret_bytes(GETH_SECRET)?, GETHS)?.to_string();
    // Ours links to geth's and geth's to ours: a loop.
    let ours = sign(&stage, OURS, &file, Some(&geths)).await?;
    let tampered = sign(&stage, TAMPERED, &file, None).await?;
    let altered = alter(&tampered)?;

    // Ours as geth sees it.
    let zone = format!("{}\n{}\n", ours.zone, tampered_zone(&tampered, &altered)?);
    geth_syncs(&stage, &zone, &ours, &tampered).await?;
    verify_geths_view(&stage, &ours, &records, &geths)?;

    // geth's as we see it.
    let geth_zone = geth_signs(&stage, &ours, &geths).await?;
    let whole = format!("{}\n{}\n{geth_zone}", ours.zone, tampered.zone);
    let mut names = NameServer::start(&stage, "knot", ZONE, &whole).await?;
    let seen = causeway_syncs(&stage, &geths, names.address).await?;
    ensure!(seen["verified"] == true, "geth's list and ours: {seen}");
    let lists = seen["lists"].as_array().context("lists")?;
    for (url, seq) in [(&geths, GETHS_SEQ), (&ours.url, OUR_SEQ)] {
        let list = lists.iter().find(|list| list["url"] == url.as_str());
        let list = list.with_context(|| format!("{url} is not among what was read"))?;
        ensure!(list["seq"] == seq, "{url} has seq {}", list["seq"]);
        ensure!(enrs(&list["records"])? == records, "{url} does not hold the records that went into it");
    }

    // A list that was good, and is tampered with.
    let seen = causeway_syncs(&stage, &tampered.url, names.address).await?;
    ensure!(seen["verified"] == true, "before it is tampered with: {seen}");
    names.replace(&(zone + &geth_zone)).await?;
    let seen = causeway_syncs(&stage, &tampered.url, names.address).await?;
    let error = seen["lists"][0]["error"].as_str().unwrap_or_default();
    ensure!(seen["verified"] == false && error.contains("its name is the hash of"), "tampered with: {seen}");
    ensure!(error.contains(&altered.name), "{error} does not name {}", altered.name);
    Ok(format!("{NODES} nodes each way; tampered with: {error}"))
}

/// Makes records of every kind with `causeway enr new`.
async fn records(stage: &Stage) -> anyhow::Result<BTreeSet<String>> {
    let mut records = BTreeSet::new();
    for number in 1..=NODES {
        let mut new = Command::new(&stage.workshop.causeway);
        new.args(["enr", "new", "--nodekey"]).arg(stage.dir.join(format!("node-{number}.key")));
        new.args(["--seq", &number.to_string(), "--ip", &format!("192.0.2.{number}"), "--tcp", "30303"]);
        new.args(["--udp", "30303"]);
        if number % 2 == 0 {
            new.args(["--network", "mainnet", "--les"]);
        }
        if number % 3 == 0 {
            new.args(["--quic", "9000", "--multiaddr", "/dns4/relay.example/tcp/443/wss"]);
        }
        records.insert(said("causeway enr new", new).await?.trim().to_owned());
    }
    ensure!(records.len() == usize::from(NODES), "{} different records", records.len());
    Ok(records)
}

/// Signs a list with `causeway dns sign`.
async fn sign(stage: &Stage, domain: &str, records: &Path, link: Option<&str>) -> anyhow::Result<List> {
    let run = async |form: Option<&str>| {
        let mut sign = Command::new(&stage.workshop.causeway);
        sign.args(["dns", "sign", "--domain", domain, "--seq", &OUR_SEQ.to_string(), "--key"]);
        sign.arg(stage.dir.join("list.key")).args(form).args(link.map(|link| format!("--link={link}")));
        sign.arg(records);
        said("causeway dns sign", sign).await
    };
    let zone = run(None).await?;
    let object: Value = serde_json::from_str(&run(Some("--json")).await?)?;
    ensure!(object["nodes"] == NODES && object["seq"] == OUR_SEQ, "causeway dns sign: {object}");
    Ok(List {
        url: object["url"].as_str().context("a URL")?.to_owned(),
        texts: serde_json::from_value(object["txt"].clone()).context("names and texts")?,
        zone,
    })
}

/// A text under a name that is not its hash.
struct Altered {
    name: String,
    text: String,
}

/// Puts one node's record under the name of another's.
fn alter(list: &List) -> anyhow::Result<Altered> {
    let mut of_nodes = list.texts.iter().filter(|(_, text)| text.starts_with("enr:"));
    let (name, _) = of_nodes.next().context("a record")?;
    let (_, text) = of_nodes.next().context("another record")?;
    Ok(Altered { name: name.clone(), text: text.clone() })
}

fn tampered_zone(list: &List, altered: &Altered) -> anyhow::Result<String> {
    let mut texts = list.texts.clone();
    texts.insert(altered.name.clone(), altered.text.clone()).context("the name was there")?;
    Ok(zone_of(&texts))
}

fn zone_of(texts: &BTreeMap<String, String>) -> String {
    let mut zone = String::new();
    for (name, text) in texts {
        let _ = write!(zone, "{name}. 60 IN TXT"); // writing to a string cannot fail
        for piece in text.as_bytes().chunks(MAX_PIECE) {
            let _ = write!(zone, " \"{}\"", String::from_utf8_lossy(piece));
        }
        zone.push('\n');
    }
    zone
}

/// Lets geth read both lists from a name server at port 53 of a network of their own.
async fn geth_syncs(stage: &Stage, zone: &str, ours: &List, tampered: &List) -> anyhow::Result<()> {
    let resolv = stage.dir.join("resolv.conf");
    fs::write(&resolv, "nameserver 127.0.0.1\n")?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 53));
    let files = name_server::write_files(stage, "knot-for-geth", address, ZONE, zone)?;
    let mut unshare = Command::new("unshare");
    unshare.args(["--net", "--mount", "--pid", "--fork", "--kill-child"]);
    unshare.args(["sh", "-c", BESIDE_A_NAME_SERVER, "sh"]);
    unshare.args([&files.config, &resolv, &stage.workshop.causeway, &stage.workshop.devp2p]);
    unshare.args([&ours.url, &tampered.url]).current_dir(&stage.dir).kill_on_drop(true);
    let output = timeout(GETHS_PACE, unshare.output()).await.context("geth took too long")??;
    fs::write(stage.dir.join("geth-syncs.err"), &output.stderr)?;
    fs::write(stage.dir.join("geth-syncs.out"), &output.stdout)?;
    ensure!(output.status.success(), "geth in a network of its own: {}", output.status);
    let why = fs::read_to_string(stage.dir.join("tampered-by-geth.err"))?;
    ensure!(why.contains("hash mismatch"), "geth refuses the tampered list for another reason: {why}");
    Ok(())
}

fn verify_geths_view(
    stage: &Stage,
    ours: &List,
    records: &BTreeSet<String>,
    geths: &str,
) -> anyhow::Result<()> {
    let dir = stage.dir.join("ours-by-geth");
    let info: Value = serde_json::from_slice(&fs::read(dir.join("enrtree-info.json"))?)?;
    let nodes: BTreeMap<String, Value> = serde_json::from_slice(&fs::read(dir.join("nodes.json"))?)?;
    ensure!(info["url"] == ours.url.as_str(), "geth read {}", info["url"]);
    ensure!(info["seq"] == OUR_SEQ, "geth read seq {}", info["seq"]);
    let root = ours.texts.get(OURS).context("a root")?;
    let signature = root.rsplit_once("sig=").context("a signed root")?.1;
    ensure!(info["sig"] == signature || info["signature"] == signature, "the signature: {info}");
    ensure!(info["links"] == json!([geths]), "geth read the links {}", info["links"]);
    let read: BTreeSet<String> =
        nodes.values().filter_map(|node| node["record"].as_str()).map(str::to_owned).collect();
    ensure!(read == *records, "geth read {} nodes, or others than we signed", read.len());
    Ok(())
}

/// Lets geth sign the nodes that it read as a list of its own; gives its records as a zone file.
async fn geth_signs(stage: &Stage, ours: &List, geths: &str) -> anyhow::Result<String> {
    let dir = stage.dir.join("geths");
    fs::create_dir_all(&dir)?;
    fs::copy(stage.dir.join("ours-by-geth/nodes.json"), dir.join("nodes.json"))?;
    fs::write(dir.join("enrtree-info.json"), json!({ "links": [&ours.url] }).to_string())?;
    let key = stage.dir.join("geth-key.json");
    fs::write(&key, GETH_KEY_FILE)?;

    let mut sign = Command::new(&stage.workshop.devp2p);
    sign.args(["dns", "sign", "--domain", GETHS, "--seq", &GETHS_SEQ.to_string()]).arg(&dir).arg(&key);
    said("devp2p dns sign", sign).await?;
    let texts = stage.dir.join("geths.json");
    let mut export = Command::new(&stage.workshop.devp2p);
    export.args(["dns", "to-txt"]).arg(&dir).arg(&texts);
    said("devp2p dns to-txt", export).await?;

    let info: Value = serde_json::from_slice(&fs::read(dir.join("enrtree-info.json"))?)?;
    ensure!(info["url"] == geths, "geth signed {}", info["url"]);
    let texts: BTreeMap<String, String> = serde_json::from_slice(&fs::read(texts)?)?;
    Ok(zone_of(&texts))
}

/// `causeway dns sync --json`, whatever came out.
async fn causeway_syncs(stage: &Stage, url: &str, server: SocketAddr) -> anyhow::Result<Value> {
    let mut sync = Command::new(&stage.workshop.causeway);
    sync.args(["dns", "sync", "--json", url, "--server", &server.to_string()]);
    let output = timeout(PATIENCE, sync.kill_on_drop(true).output()).await.context("causeway dns sync")??;
    let object: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("causeway dns sync: {}", String::from_utf8_lossy(&output.stderr)))?;
    let verified = object["verified"].as_bool().context("says whether it verified")?;
    ensure!(output.status.success() == verified, "{} beside {object}", output.status);
    Ok(object)
}

fn enrs(records: &Value) -> anyhow::Result<BTreeSet<String>> {
    let records = records.as_array().context("a list of records")?;
    Ok(records.iter().filter_map(|record| record["enr"].as_str()).map(str::to_owned).collect())
}

/// What a program says that ends well by itself. An empty line is all that it hears (geth asks for a password).
async fn said(what: &str, mut command: Command) -> anyhow::Result<String> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().with_context(|| format!("starting {what}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        let _ = stdin.write_all(b"\n").await; // most do not listen
    }
    let output = timeout(PATIENCE, child.wait_with_output()).await.with_context(|| what.to_owned())??;
    if !output.status.success() {
        bail!("{what}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}
