//! The interop suite: each row starts real peers, puts Causeway between them and says what came of it.
//!
//! ```text
//! cargo interop            all rows          cargo interop NAME…      these rows
//! cargo interop --list     their names       cargo interop --build    only builds and installs the peers
//! ```
//!
//! A row that cannot start a peer fails: nothing is skipped. What the processes said stays in
//! `interop-logs/ROW/` under the target directory; its end is printed if the row fails.

mod geth;
mod household;
mod laboratory;
mod light;
mod name_server;
mod process;
mod relay;
mod rows;
mod workshop;

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

use tokio::{net::TcpStream, process::Command};

use laboratory::Place;
use workshop::Workshop;

/// No row takes longer; one that does hangs.
const ROW_LIMIT: Duration = Duration::from_secs(240);

/// Lines of each log that are printed when a row fails.
const TAIL: usize = 30;

/// What a row works with: the built programs and a folder of its own.
#[derive(Clone, Debug)]
struct Stage {
    workshop: Arc<Workshop>,
    dir: PathBuf,
    /// Where in the laboratory programs are started; on this machine's loopback if there is none.
    place: Option<Place>,
}

impl Stage {
    /// The same in a place of the laboratory.
    fn at(&self, place: &Place) -> Self {
        Self { place: Some(place.clone()), ..self.clone() }
    }

    /// A program to be started here.
    fn command(&self, program: &Path) -> Command {
        self.place.as_ref().map_or_else(|| Command::new(program), |place| place.command(program))
    }

    /// The address to listen at.
    fn address(&self) -> Ipv4Addr {
        self.place.as_ref().map_or(Ipv4Addr::LOCALHOST, |place| place.address)
    }

    /// Connects from here.
    async fn connect(&self, host: &str) -> anyhow::Result<TcpStream> {
        match &self.place {
            Some(place) => place.connect(host).await,
            None => Ok(TcpStream::connect(host).await?),
        }
    }
}

/// Runs the suite with the arguments of the command line; the exit code says whether every row passed.
#[expect(clippy::print_stdout, reason = "the table is what this program is for")]
pub async fn main(arguments: Vec<String>) -> ExitCode {
    if arguments.iter().any(|argument| argument == "--list") {
        for row in rows::ALL {
            println!("{:<24} {}", row.name, row.what);
        }
        return ExitCode::SUCCESS;
    }
    let result = tokio::select! {
        result = run(&arguments) => result,
        () = stopped() => Err(anyhow::anyhow!("stopped by a signal")),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("interop: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Children die with the runtime (`kill_on_drop`), so a signal must end it in an orderly way.
async fn stopped() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

#[expect(clippy::print_stdout, reason = "the table is what this program is for")]
async fn run(arguments: &[String]) -> anyhow::Result<bool> {
    let only_build = arguments.iter().any(|argument| argument == "--build");
    let names: Vec<_> = arguments.iter().filter(|argument| *argument != "--build").collect();
    if let Some(name) = names.iter().find(|name| rows::ALL.iter().all(|row| row.name != **name)) {
        bail!("no row is called `{name}`; `cargo interop --list` names them");
    }
    let begun = Instant::now();
    let workshop = Arc::new(Workshop::open().await.context("the peers could not be built")?);
    println!("peers and causeway built in {:.1} s", begun.elapsed().as_secs_f64());
    if only_build {
        return Ok(true);
    }

    let chosen: Vec<_> = rows::ALL
        .iter()
        .filter(|row| names.is_empty() || names.iter().any(|name| *name == row.name))
        .collect();
    let mut failed = 0;
    println!("{:<24} {:<6} {:>7}  what", "row", "result", "seconds");
    for row in &chosen {
        let dir = workshop.fresh_dir(row.name)?;
        let stage = Stage { workshop: Arc::clone(&workshop), dir, place: None };
        let begun = Instant::now();
        let outcome = tokio::time::timeout(ROW_LIMIT, (row.run)(stage.clone())).await;
        let seconds = begun.elapsed().as_secs_f64();
        let outcome = outcome.unwrap_or_else(|_| bail!("not done within {} s", ROW_LIMIT.as_secs()));
        match outcome {
            Ok(note) => println!("{:<24} {:<6} {seconds:>7.1}  {}: {note}", row.name, "ok", row.what),
            Err(error) => {
                failed += 1;
                println!("{:<24} {:<6} {seconds:>7.1}  {}: {error:#}", row.name, "FAILED", row.what);
                print_tails(&stage.dir);
            }
        }
    }
    println!(
        "{} of {} rows passed in {:.0} s",
        chosen.len() - failed,
        chosen.len(),
        begun.elapsed().as_secs_f64()
    );
    Ok(failed == 0)
}

/// The end of each log of a row that failed.
fn print_tails(dir: &Path) {
    let mut logs: Vec<_> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "out" || extension == "err"))
        .collect();
    logs.sort();
    for log in logs {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        eprintln!("--- {} ({} lines)", log.display(), lines.len());
        for line in &lines[lines.len().saturating_sub(TAIL)..] {
            eprintln!("{}", line.chars().take(400).collect::<String>());
        }
    }
}
