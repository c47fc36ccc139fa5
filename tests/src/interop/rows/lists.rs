//! The file of lists, changed while light peers are connected.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use anyhow::{Context, ensure};
use tokio::time::Instant;

use crate::interop::{
    Stage,
    geth::{Geth, Options},
    light,
    process::{GONE, PATIENCE},
    relay::{Relay, Way},
};

/// Time for a changed file to take effect (issue 5).
const EFFECT: Duration = Duration::from_secs(1);

/// Who is listed is closed and kept out, and nobody else; a file that cannot be used changes nothing.
pub(super) async fn run(stage: Stage) -> anyhow::Result<String> {
    let mut geth = Geth::start(&stage, "geth", Options { hold: 2, ..Options::default() }).await?;
    let file = stage.dir.join("lists");
    replace(&file, "# nobody yet\n")?;
    let options = ["--no-discovery", "--full-node", &geth.enode(), "--lists", &file.display().to_string()];
    let relay = Relay::start_with(&stage, "relay", &geth.genesis_file, &options.map(str::to_owned)).await?;
    relay.at_head(geth.number()).await?;
    let addresses = relay.addresses(&Way::LIBP2P)?;

    let announces = ["--announces".to_owned(), "2".to_owned()];
    let mut others = light::js(&stage, "js-others", &geth, &addresses, &announces)?;
    light::checked(&others, &addresses).await?;
    let stay = here(&relay).await?;
    let unwanted = light::js(&stage, "js-unwanted", &geth, &addresses, &announces)?;
    light::checked(&unwanted, &addresses).await?;
    let denied: BTreeSet<String> = here(&relay).await?.difference(&stay).cloned().collect();
    ensure!(!denied.is_empty(), "the unwanted are among the sessions");

    let lines: String = denied.iter().map(|peer| format!("deny {peer}\n")).collect();
    replace(&file, &lines)?;
    let written = Instant::now();
    relay
        .until("the denied sessions are closed", EFFECT, |status| status["sessions"] == addresses.len())
        .await?;
    let took = written.elapsed();
    ensure!(here(&relay).await? == stay, "only the denied are gone");
    let next = async |geth: &mut Geth, why: &'static str| {
        geth.import(1).await?;
        let (hash, at) = geth.new_head(geth.number() + 1, &[]).await?;
        light::announced(&others, &addresses, (&hash, at)).await.context(why)
    };
    next(&mut geth, "others were denied").await?;

    replace(&file, "ban everybody\n")?;
    relay.peer.logged("line 1: `ban everybody`", PATIENCE).await?;
    ensure!(here(&relay).await? == stay, "a file that cannot be used changes nothing");
    next(&mut geth, "the file was replaced by one that cannot be used").await?;
    others.end(PATIENCE).await?;

    replace(&file, "deny 127.0.0.0/8\n")?;
    relay.until("all are denied", EFFECT, |status| status["connections"] == 0).await?;
    let refused = light::js(&stage, "js-refused", &geth, &addresses[..1], &[])?;
    ensure!(light::checked(&refused, &addresses[..1]).await.is_err(), "a denied network is let in");
    replace(&file, "")?;
    relay.until("the full node is dialed again", PATIENCE, |status| status["connections"] == 1).await?;
    let mut again = light::js(&stage, "js-again", &geth, &addresses, &[])?;
    light::checked(&again, &addresses).await?;
    again.end(PATIENCE).await?;
    relay.idle(GONE).await?;
    relay.stop().await?;
    Ok(format!("{} denied peers were gone after {} ms, the others stayed", denied.len(), took.as_millis()))
}

/// Light peers that have a session.
async fn here(relay: &Relay) -> anyhow::Result<BTreeSet<String>> {
    let peers = relay.peers().await?;
    let sessions = peers["sessions"].as_array().context("the sessions")?;
    let inbound = sessions.iter().filter(|session| session["inbound"] == true);
    Ok(inbound.filter_map(|session| session["peer"].as_str().map(str::to_owned)).collect())
}

/// As editors and configuration managers do it.
fn replace(file: &Path, text: &str) -> anyhow::Result<()> {
    let new = file.with_extension("new");
    fs::write(&new, text)?;
    Ok(fs::rename(&new, file)?)
}
