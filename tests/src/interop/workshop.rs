//! Builds and installs the real peers, and Causeway itself, under the target directory.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use tokio::process::Command;

/// Where everything is, once it is built.
#[derive(Debug)]
pub(super) struct Workshop {
    /// The target directory.
    target: PathBuf,
    pub(super) causeway: PathBuf,
    /// Our discovery alone, driven by lines on stdin.
    pub(super) discovery_node: PathBuf,
    /// Our port mapping alone.
    pub(super) map: PathBuf,
    pub(super) geth_server: PathBuf,
    pub(super) geth_client: PathBuf,
    /// geth's discovery alone, as a bootnode.
    pub(super) geth_bootnode: PathBuf,
    /// geth's `devp2p` tool: node lists, conformance suites.
    pub(super) devp2p: PathBuf,
    /// The same of a later geth, whose suites ask for other things.
    pub(super) devp2p_today: PathBuf,
    pub(super) go_libp2p: PathBuf,
    /// Folder of EthereumJS' server with its packages.
    pub(super) ethereumjs: PathBuf,
    /// Folder of the js-libp2p light peer with its packages.
    pub(super) libp2p_js: PathBuf,
    /// Folder of the page's sources, its build and its driver, with their packages.
    pub(super) browser: PathBuf,
    /// Folder of the discv5 node on @chainsafe/discv5 with its packages.
    pub(super) discv5_js: PathBuf,
    /// Folder of the packages that read and write node records.
    pub(super) records_js: PathBuf,
}

impl Workshop {
    /// Builds what is not there yet: `go build`, `npm ci`, `cargo build` of the same profile.
    pub(super) async fn open() -> anyhow::Result<Self> {
        let own = std::env::current_exe()?;
        let profile = own.parent().context("the runner is in a folder")?;
        let target = profile.parent().context("the profile's folder is in the target directory")?.to_owned();
        let root =
            Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("tests is in the repository")?.to_owned();
        let peers = root.join("tests/peers");
        let cache = target.join("interop-peers");
        let bin = cache.join("bin");
        fs::create_dir_all(&bin)?;

        // One after the other: each of them uses every core by itself.
        let causeway = causeway(&root, profile).await?;
        go(&peers.join("geth"), &bin.join("geth-les-server"), "./server").await?;
        go(&peers.join("geth"), &bin.join("geth-les-client"), "./client").await?;
        go(&peers.join("geth"), &bin.join("geth-bootnode"), "./bootnode").await?;
        let devp2p = "github.com/ethereum/go-ethereum/cmd/devp2p";
        go(&peers.join("geth"), &bin.join("devp2p"), devp2p).await?;
        go(&peers.join("devp2p"), &bin.join("devp2p-today"), devp2p).await?;
        go(&peers.join("go-libp2p"), &bin.join("go-libp2p"), ".").await?;
        go(&peers.join("go-circuit"), &bin.join("go-circuit"), ".").await?;
        let ethereumjs = npm(&peers.join("ethereumjs"), &cache.join("ethereumjs")).await?;
        let libp2p_js = npm(&peers.join("libp2p-js"), &cache.join("libp2p-js")).await?;
        let browser = npm(&peers.join("browser"), &cache.join("browser")).await?;
        let discv5_js = npm(&peers.join("discv5-js"), &cache.join("discv5-js")).await?;
        let records_js = npm(&peers.join("records-js"), &cache.join("records-js")).await?;
        Ok(Self {
            target,
            causeway,
            discovery_node: profile.join("examples").join("discovery_node"),
            map: profile.join("examples").join("map"),
            geth_server: bin.join("geth-les-server"),
            geth_client: bin.join("geth-les-client"),
            geth_bootnode: bin.join("geth-bootnode"),
            devp2p: bin.join("devp2p"),
            devp2p_today: bin.join("devp2p-today"),
            go_libp2p: bin.join("go-libp2p"),
            ethereumjs,
            libp2p_js,
            browser,
            discv5_js,
            records_js,
        })
    }

    /// A Python with the packages of `tests/peers/NAME`, and the path of one of the scripts there. Only the rows
    /// that need it install it.
    pub(super) async fn python(&self, name: &str, script: &str) -> anyhow::Result<(PathBuf, PathBuf)> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(name);
        let folder = self.target.join("interop-peers").join(name);
        let (python, stamp) = (folder.join("bin/python"), folder.join("installed"));
        let requirements = source.join("requirements.txt");
        let wanted = fs::read(&requirements)?;
        if !fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
            done("python3 -m venv", Command::new("python3").args(["-m", "venv"]).arg(&folder)).await?;
            let mut install = Command::new(&python);
            install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]);
            done(&format!("pip install for {name}"), install.arg(&requirements)).await?;
            fs::write(stamp, wanted)?;
        }
        Ok((python, source.join(script)))
    }

    /// An empty folder for a row.
    pub(super) fn fresh_dir(&self, row: &str) -> anyhow::Result<PathBuf> {
        let dir = self.target.join("interop-logs").join(row);
        if dir.exists() {
            fs::remove_dir_all(&dir)?;
        }
        fs::create_dir_all(&dir)?;
        Ok(dir)
    }
}

/// The binary that `CAUSEWAY_BIN` names, or the one of the runner's own profile, built now. Beside it the example
/// of our discovery, in the same go: so both share every crate.
async fn causeway(root: &Path, profile: &Path) -> anyhow::Result<PathBuf> {
    let given = std::env::var_os("CAUSEWAY_BIN").map(PathBuf::from);
    let name = profile.file_name().and_then(OsStr::to_str).context("the profile's folder has a name")?;
    let name = if name == "debug" { "dev" } else { name };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--quiet", "--profile", name]).current_dir(root);
    build.args(["-p", "causeway-discovery", "--example", "discovery_node"]);
    build.args(["-p", "causeway-mapping", "--example", "map"]);
    if given.is_none() {
        build.args(["-p", "causeway", "--bin", "causeway"]);
    }
    done("cargo build of causeway and its discovery", &mut build).await?;
    Ok(given.unwrap_or_else(|| profile.join("causeway")))
}

async fn go(folder: &Path, output: &Path, package: &str) -> anyhow::Result<()> {
    let mut build = Command::new("go");
    build.args(["build", "-buildvcs=false", "-o"]).arg(output).arg(package).current_dir(folder);
    done(&format!("go build {} in {}", package, folder.display()), &mut build).await
}

/// Copies a peer's scripts beside an installation of its packages, which is kept while the lock file stays.
async fn npm(source: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let lock = fs::read(source.join("package-lock.json"))?;
    let stamp = folder.join("installed");
    for entry in fs::read_dir(source)? {
        let path = entry?.path();
        if let (true, Some(name)) = (path.is_file(), path.file_name()) {
            fs::copy(&path, folder.join(name))?;
        }
    }
    if fs::read(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(folder.to_owned());
    }
    let mut install = Command::new("npm");
    install
        .args(["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"])
        .current_dir(folder);
    done(&format!("npm ci in {}", folder.display()), &mut install).await?;
    fs::write(stamp, lock)?;
    Ok(folder.to_owned())
}

async fn done(what: &str, command: &mut Command) -> anyhow::Result<()> {
    let output =
        command.kill_on_drop(true).output().await.with_context(|| format!("{what}: cannot be started"))?;
    if !output.status.success() {
        bail!("{what}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
