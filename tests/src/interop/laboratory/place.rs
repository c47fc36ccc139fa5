//! A host in the laboratory: programs and connections that are made there.

use std::{ffi::OsStr, fs::File, net::Ipv4Addr, os::fd::AsFd as _, path::PathBuf, thread};

use anyhow::{Context, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::{net::TcpStream, process::Command, sync::oneshot};

/// Where a program runs. Cheap to clone; it does not keep the laboratory.
#[derive(Clone, Debug)]
pub(in crate::interop) struct Place {
    pub(in crate::interop) name: String,
    /// Where programs listen.
    pub(in crate::interop) address: Ipv4Addr,
    space: PathBuf,
}

impl Place {
    pub(super) fn new(keeper: u32, name: String, address: Ipv4Addr) -> Self {
        // The names of spaces are mounted where only the keeper sees them.
        let space = PathBuf::from(format!("/proc/{keeper}/root/run/netns/{name}"));
        Self { name, address, space }
    }

    /// A program to be started there. It is the started process itself, not a child of it.
    pub(in crate::interop) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut net = std::ffi::OsString::from("--net=");
        net.push(&self.space);
        let mut command = Command::new("nsenter");
        command.arg(net).arg("--").arg(program);
        command
    }

    /// Runs a program to its end and gives its output.
    pub(in crate::interop) async fn run(&self, program: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.command(program).args(arguments).kill_on_drop(true).output().await?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{program} in {}: {}: {}", self.name, output.status, errors.trim());
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Connects as a program there would: a socket stays in the space where it was made.
    pub(in crate::interop) async fn connect(&self, host: &str) -> anyhow::Result<TcpStream> {
        let (space, host, name) = (self.space.clone(), host.to_owned(), self.name.clone());
        let (connected, connection) = oneshot::channel();
        // A thread of its own, since it never comes back.
        thread::Builder::new().name("there".to_owned()).spawn(move || {
            let connect = || {
                let space = File::open(&space)?;
                move_into_link_name_space(space.as_fd(), Some(LinkNameSpaceType::Network))?;
                std::net::TcpStream::connect(&host)
            };
            // Whoever gave up waiting does not need it.
            let _ = connected.send(connect());
        })?;
        let stream = connection.await?.with_context(|| format!("connecting in {name}"))?;
        stream.set_nonblocking(true)?;
        Ok(TcpStream::from_std(stream)?)
    }

    /// How many packets to private addresses were made there, those to itself excepted.
    pub(in crate::interop) async fn private_packets(&self) -> anyhow::Result<u64> {
        let listed = self.run("nft", &["list", "counter", "ip", "watch", "private"]).await?;
        let mut words = listed.split_whitespace().skip_while(|word| *word != "packets");
        let count = words.nth(1).with_context(|| format!("no count in {listed}"))?;
        Ok(count.parse()?)
    }
}
