//! The servers that take turns: started on the loopback, each with a directory of its own.

use crate::{
    contender::{Contender, Kind},
    harness::{
        http::TRUSTED,
        process::{Server, free_address},
        saccade::{Identity, Saccade, binary},
    },
    options::{Options, cores},
};
use rustix::process::geteuid;
use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

/// All that can be started here, and why the others were left out.
pub(crate) fn start(options: &Options, directory: &Path) -> (Vec<Contender>, Vec<String>) {
    let (mut running, mut notes) = (Vec::new(), Vec::new());
    for kind in [Kind::Saccade, Kind::Nginx, Kind::Glance] {
        let short = match kind {
            Kind::Saccade => "saccade",
            Kind::Nginx => "nginx",
            Kind::Glance => "glance",
        };
        if options.without(short) {
            continue;
        }
        let directory = directory.join(short);
        fs::create_dir(&directory).unwrap();
        let started = match kind {
            Kind::Saccade => Ok(saccade(&directory)),
            Kind::Nginx => nginx(&directory),
            Kind::Glance => glance(&directory, options.glance_processes),
        };
        match started {
            Ok(mut contender) => {
                // As after a start with nothing to do, but for one answer: some load their code with the first request.
                contender
                    .connect()
                    .request("GET", contender.first_path(), None, b"")
                    .unwrap();
                thread::sleep(Duration::from_secs(options.pick(5, 1)));
                contender.idle = contender.sum(Server::proportional_memory);
                eprintln!("{} {}: serving", kind.name(), contender.version);
                running.push(contender);
            }
            Err(missing) => {
                eprintln!("{} is left out: {missing}", kind.name());
                notes.push(format!("{} was left out: {missing}.", kind.name()));
            }
        }
    }
    (running, notes)
}

fn saccade(directory: &Path) -> Contender {
    let data = directory.join("data");
    let daemon = Saccade::start(&data, Identity::TrustedHeaders);
    let version = output(Command::new(binary()).arg("--version"));
    let build = match env::var_os("SACCADE_BIN") {
        Some(_) => "another build (SACCADE_BIN)",
        None => "release build",
    };
    Contender {
        kind: Kind::Saccade,
        version: format!(
            "{}, {build}, file store, RocksDB, identity headers",
            version.trim_start_matches("saccade ")
        ),
        idle: 0,
        servers: vec![daemon.server],
        address: daemon.address,
        headers: daemon.headers,
        images: data.join("images"),
    }
}

fn nginx(directory: &Path) -> Result<Contender, String> {
    // Debian has it where only root looks.
    let places = ["/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/sbin/nginx"].map(Path::new);
    let program = places.into_iter().find(|path| path.exists());
    let program = program.ok_or("it is not installed (Debian: nginx-light)")?;
    let address = free_address();
    let images = directory.join("images");
    fs::create_dir(&images).map_err(|error| error.to_string())?;
    let root = directory.to_str().ok_or("a path that is not UTF-8")?;
    let user = if geteuid().is_root() { "user root;" } else { "" };
    let workers = cores();
    // Debian's own settings where they matter: sendfile, tcp_nopush, default socket buffers.
    let text = format!(
        "{user}
worker_processes {workers};
worker_rlimit_nofile 16384;
pid {root}/nginx.pid;
error_log {root}/error.log;
events {{ worker_connections 8192; }}
http {{
    sendfile on;
    tcp_nopush on;
    access_log off;
    client_body_temp_path {root}/body;
    proxy_temp_path {root}/proxy;
    fastcgi_temp_path {root}/fastcgi;
    uwsgi_temp_path {root}/uwsgi;
    scgi_temp_path {root}/scgi;
    server {{ listen {address}; root {root}/images; }}
}}
"
    );
    let conf = directory.join("nginx.conf");
    fs::write(&conf, text).map_err(|error| error.to_string())?;
    let conf = conf.to_str().ok_or("a path that is not UTF-8")?;
    let mut command = Command::new(program);
    command.args(["-p", root, "-c", conf, "-g", "daemon off;"]);
    let server = Server::start(&command, &directory.join("log"), address);
    let version = Command::new(program).arg("-v").output();
    let version = version.map(|output| String::from_utf8_lossy(&output.stderr).trim().to_owned());
    Ok(Contender {
        kind: Kind::Nginx,
        version: format!(
            "{}, {workers} workers, sendfile",
            version
                .unwrap_or_default()
                .trim_start_matches("nginx version: nginx/")
        ),
        idle: 0,
        servers: vec![server],
        address,
        headers: String::new(),
        images,
    })
}

fn glance(directory: &Path, processes: usize) -> Result<Contender, String> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let programs =
        env::var_os("SACCADE_GLANCE").map_or_else(|| package.join(".venv-glance/bin"), PathBuf::from);
    let python = programs.join("python");
    if !python.exists() {
        return Err(format!("{} is not there (`make glance`)", python.display()));
    }
    let text = |error: io::Error| error.to_string();
    let (mariadb, database) = mariadb(&directory.join("mariadb"))?;
    let script = package.join("tests/differential/glance.py");
    let data = directory.join("data");
    let mut prepare = Command::new(&python);
    prepare
        .arg(&script)
        .arg("prepare")
        .arg(&data)
        .env("GLANCE_DATABASE", &database);
    done(&mut prepare)?;
    let images = data.join("images");
    fs::create_dir(&images).map_err(text)?;
    let root = data.display();
    let conf = format!(
        "[DEFAULT]\nenabled_backends = fs:file\n[glance_store]\ndefault_backend = fs\n\
         [fs]\nfilesystem_store_datadir = {root}/images\n\
         [os_glance_staging_store]\nfilesystem_store_datadir = {root}/staging\n\
         [os_glance_tasks_store]\nfilesystem_store_datadir = {root}/tasks\n"
    );
    fs::write(data.join("glance-api.conf"), conf).map_err(text)?;
    let address = free_address();
    let mut serve = Command::new(&python);
    serve
        .arg(&script)
        .arg("serve")
        .arg(&data)
        .args([
            address.ip().to_string(),
            address.port().to_string(),
            processes.to_string(),
        ])
        .env("GLANCE_DATABASE", &database);
    let glance = Server::start(&serve, &directory.join("log"), address);
    let version = "import importlib.metadata as m; print(m.version('glance'), m.version('glance_store'))";
    let version = output(Command::new(&python).args(["-c", version]));
    let (version, store) = version.split_once(' ').unwrap_or((&version, ""));
    Ok(Contender {
        kind: Kind::Glance,
        version: format!(
            "{version}, glance_store {store}; {processes} uWSGI processes, MariaDB {}, file store, identity headers",
            output(Command::new(MARIADB).arg("--version"))
                .split(' ')
                .nth(3)
                .unwrap_or_default()
        ),
        idle: 0,
        servers: vec![glance, mariadb],
        address,
        headers: TRUSTED.to_owned(),
        images,
    })
}

/// Debian has it where only root looks.
const MARIADB: &str = "/usr/sbin/mariadbd";

/// A MariaDB of Glance's own, at its defaults, which sync every commit; and the URL of an empty database in it.
fn mariadb(directory: &Path) -> Result<(Server, String), String> {
    if !Path::new(MARIADB).exists() {
        return Err("MariaDB is not installed (Debian: mariadb-server-core)".to_owned());
    }
    let data = directory.join("data");
    fs::create_dir_all(&data).map_err(|error| error.to_string())?;
    let user = if geteuid().is_root() {
        "--user=root"
    } else {
        "--console"
    };
    let data = format!("--datadir={}", data.display());
    let mut install = Command::new("mariadb-install-db");
    install.args([
        "--no-defaults",
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
        &data,
    ]);
    if geteuid().is_root() {
        install.arg(user);
    }
    done(&mut install)?;
    let first = directory.join("first.sql");
    fs::write(&first, "CREATE DATABASE glance CHARACTER SET utf8mb3;\n")
        .map_err(|error| error.to_string())?;
    let address = free_address();
    let mut command = Command::new(MARIADB);
    command
        .args([
            "--no-defaults",
            user,
            &data,
            "--bind-address=127.0.0.1",
            "--max-connections=400",
        ])
        .arg(format!("--port={}", address.port()))
        .arg(format!("--socket={}", directory.join("socket").display()))
        .arg(format!("--pid-file={}", directory.join("pid").display()))
        .arg(format!("--init-file={}", first.display()));
    let server = Server::start(&command, &directory.join("log"), address);
    Ok((
        server,
        format!("mysql+pymysql://root@{address}/glance?charset=utf8"),
    ))
}

fn done(command: &mut Command) -> Result<(), String> {
    let program = Path::new(command.get_program()).display().to_string();
    let output = command.output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last: Vec<&str> = said.lines().rev().take(3).collect();
    Err(format!(
        "{program}: {}",
        last.into_iter().rev().collect::<Vec<_>>().join(" ")
    ))
}

fn output(command: &mut Command) -> String {
    let output = command.output();
    output
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .unwrap_or_default()
}
