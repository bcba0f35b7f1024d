//! Programs of others, with the options their experts would choose for one stream on loopback.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use ringway_benches::Result;
use ringway_benches::comparison::sample::Sample;
use ringway_benches::job::CONGESTION_CONTROL;
use ringway_benches::run::Account;
use serde_json::Value;

use crate::rounds::Ground;

/// Ends with this value.
struct Ended(Option<Child>);

impl Ended {
    fn start(command: &mut Command) -> Result<Self> {
        Ok(Self(Some(command.spawn()?)))
    }

    fn child(&mut self) -> Result<&mut Child> {
        Ok(self.0.as_mut().ok_or("it has ended")?)
    }

    /// Waits, so that its CPU is accounted.
    fn wait(mut self, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        let child = self.child()?;
        loop {
            if let Some(status) = child.try_wait()? {
                self.0 = None;
                return match status.success() {
                    true => Ok(()),
                    false => Err(format!("a peer's process failed: {status}").into()),
                };
            }
            if Instant::now() > deadline {
                return Err("a peer's process does not end".into());
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// On a core, if there is one for it.
fn on(core: Option<usize>, program: &str) -> Command {
    match core {
        Some(core) => {
            let mut command = Command::new("taskset");
            command.arg("-c").arg(core.to_string()).arg(program);
            command
        }
        None => Command::new(program),
    }
}

/// A port that was free a moment ago.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Waits until something listens there.
fn wait_for(port: u16, patience: Duration) -> Result<()> {
    let deadline = Instant::now() + patience;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if Instant::now() > deadline {
            return Err(format!("nothing listens on port {port}").into());
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn output_of(command: &mut Command, patience: Duration) -> Result<String> {
    let mut process = Ended::start(command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
    let mut pipe = process.child()?.stdout.take().ok_or("no pipe")?;
    let reader = thread::spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text).map(|_| text)
    });
    process.wait(patience)?;
    Ok(reader.join().map_err(|_| "a reader failed")??)
}

/// One stream of iperf3: from memory, or with `-Z` from a file, by sendfile.
pub fn iperf(ground: &Ground<'_>, source: Option<&Path>) -> Result<Sample> {
    let port = free_port()?.to_string();
    let account = Account::open()?;
    let cores = ground.cores;
    let mut server = on(cores.map(|cores| cores.1), "iperf3");
    server.args(["-s", "-1", "-B", "127.0.0.1", "-p", &port, "--forceflush"]);
    let mut server = Ended::start(server.stdin(Stdio::null()).stdout(Stdio::piped()))?;
    let pipe = server.child()?.stdout.take().ok_or("no pipe")?;
    let mut lines = BufReader::new(pipe).lines();
    // It says so once it does; a connection of ours would be taken for the client's.
    for line in lines.by_ref() {
        if line?.contains("listening") {
            break;
        }
    }
    let rest = thread::spawn(move || lines.count());
    let mut client = on(cores.map(|cores| cores.0), "iperf3");
    client.args(["-c", "127.0.0.1", "-p", &port, "-J", "-l", "1M"]);
    client.args(["-C", CONGESTION_CONTROL]);
    match source {
        // It ends at the file's end; the time is only the bound.
        Some(path) => client.arg("-Z").arg("-F").arg(path).args(["-t", "600"]),
        None => client.arg("-n").arg(ground.plan.run_bytes.to_string()),
    };
    let text = output_of(&mut client, ground.patience())?;
    server.wait(ground.patience())?;
    let _ = rest.join();
    let (cpu_s, others_cores) = account.close()?;
    let document: Value = serde_json::from_str(&text)?;
    let whole = match source {
        Some(_) => ground.files.bytes(),
        None => ground.plan.run_bytes,
    };
    // With -F it skips what the socket's buffer had no room for (3.12), and its server ceases to
    // count when the client says that it has sent all, with the last of it still under way: the
    // rate is that of the bytes it did count, and only a fragment of the work is a failure.
    let sent = document["end"]["sum_received"]["bytes"]
        .as_u64()
        .unwrap_or(0);
    if sent < whole / 2 {
        return Err(format!("iperf3 sent {sent} of {whole} bytes").into());
    }
    let sum = &document["end"]["sum_received"];
    let number = |name: &str| sum[name].as_f64().ok_or("iperf3 told no result");
    let bytes = sum["bytes"].as_u64().ok_or("iperf3 told no result")?;
    Ok(Sample {
        seconds: number("seconds")?,
        bytes,
        cpu_s,
        others_cores,
        ..Sample::default()
    })
}

/// The file by HTTP: nginx sends it by sendfile, curl drops it.
pub fn nginx(ground: &Ground<'_>) -> Result<Sample> {
    let port = free_port()?;
    let home = tempfile::tempdir_in(ground.directory)?;
    let configuration = home.path().join("nginx.conf");
    fs::write(
        &configuration,
        nginx_configuration(ground, port, home.path()),
    )?;
    let account = Account::open()?;
    let mut server = on(ground.cores.map(|cores| cores.0), "nginx");
    server
        .arg("-p")
        .arg(home.path())
        .arg("-c")
        .arg(&configuration);
    server.arg("-e").arg(home.path().join("error.log"));
    let mut server = Ended::start(server.stdin(Stdio::null()))?;
    wait_for(port, Duration::from_secs(20))?;
    let mut client = on(ground.cores.map(|cores| cores.1), "curl");
    client.args([
        "--silent",
        "--show-error",
        "--fail",
        "--http1.1",
        "--noproxy",
        "*",
    ]);
    client.args(["--output", "/dev/null"]);
    // From the request to the last byte: connecting is outside, as it is for all.
    let told = "%{time_pretransfer} %{time_total} %{size_download}";
    client.args(["--write-out", told]);
    client.arg(format!("http://127.0.0.1:{port}/source"));
    let text = output_of(&mut client, ground.patience())?;
    let pid = i32::try_from(server.child()?.id())?;
    kill(Pid::from_raw(pid), Signal::SIGQUIT)?;
    server.wait(Duration::from_secs(20))?;
    let (cpu_s, others_cores) = account.close()?;
    let numbers: Vec<f64> = text
        .split_whitespace()
        .map(str::parse)
        .collect::<std::result::Result<_, _>>()?;
    let [before_s, total_s, bytes] = numbers[..] else {
        return Err(format!("curl told `{text}`").into());
    };
    #[expect(clippy::cast_precision_loss, reason = "a file's length")]
    let whole = ground.files.bytes() as f64;
    if bytes < whole {
        return Err(format!("curl fetched {bytes} of {whole} bytes").into());
    }
    Ok(Sample {
        seconds: total_s - before_s,
        bytes: ground.files.bytes(),
        cpu_s,
        others_cores,
        ..Sample::default()
    })
}

/// One worker, whole file per sendfile call, nothing logged.
fn nginx_configuration(ground: &Ground<'_>, port: u16, home: &Path) -> String {
    let (source, home) = (ground.files.source_path(), home.display());
    // Only this user can open the file through /proc.
    let user = if geteuid().is_root() {
        "user root;"
    } else {
        ""
    };
    format!(
        "daemon off; worker_processes 1; {user} pid {home}/pid;
events {{ worker_connections 64; }}
http {{
  access_log off; sendfile on; sendfile_max_chunk 0; tcp_nopush on; default_type application/octet-stream;
  client_body_temp_path {home}/body; proxy_temp_path {home}/proxy; fastcgi_temp_path {home}/fastcgi;
  uwsgi_temp_path {home}/uwsgi; scgi_temp_path {home}/scgi;
  server {{ listen 127.0.0.1:{port}; location = /source {{ alias {}; }} }}
}}
",
        source.display()
    )
}
