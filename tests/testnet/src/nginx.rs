//! A web server that says who it is.
//!
//! `GET /` answers one line: the server's name, the client's address as the server sees it, and
//! the address and port the client asked for. `GET /blob` serves a file, `PUT /upload/NAME`
//! stores one. With `Connection: close` it is the server that closes first.

use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use crate::namespace::Namespace;
use crate::run::{self, Running};

/// The ports nginx listens on: the services' own, and one that only port mapping reaches.
pub const PORTS: [u16; 3] = [80, 81, 8080];

/// A running nginx; it ends when dropped.
#[derive(Debug)]
pub struct Nginx {
    _child: Running,
    uploads: PathBuf,
}

impl Nginx {
    /// Starts nginx on `host`, serving the file `blob`.
    ///
    /// # Panics
    ///
    /// When it does not answer within five seconds, with its own log.
    #[must_use]
    pub fn start(host: &Namespace, name: &str, blob: &Path) -> Self {
        let dir = host.dir();
        let uploads = dir.join("upload");
        std::fs::create_dir_all(&uploads).expect("the host's directory is writable");
        let file = dir.join("nginx.conf");
        std::fs::write(&file, configuration(name, dir, blob)).expect("the directory is writable");
        let line = format!(
            "nginx -e {0}/error.log -p {0} -c {0}/nginx.conf",
            dir.display()
        );
        let mut command = host.command(&line);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = Running(child.expect("nginx is installed"));
        let up = run::eventually(Duration::from_secs(5), || {
            host.inside(|| TcpStream::connect((Ipv4Addr::LOCALHOST, PORTS[0])).is_ok())
        });
        assert!(
            up,
            "{name}: {:?}",
            std::fs::read_to_string(dir.join("error.log"))
        );
        Self {
            _child: child,
            uploads,
        }
    }

    /// Where an uploaded file lies.
    #[must_use]
    pub fn uploaded(&self, name: &str) -> PathBuf {
        self.uploads.join(name)
    }
}

/// One process in the foreground, so that its end is the end of everything it was.
fn configuration(name: &str, dir: &Path, blob: &Path) -> String {
    let dir = dir.display();
    let listen = PORTS.map(|port| format!("listen {port};")).join(" ");
    format!(
        r#"daemon off; master_process off; user root; pid {dir}/nginx.pid;
error_log {dir}/error.log warn;
events {{ worker_connections 1024; }}
http {{
  access_log off; default_type text/plain; sendfile on; keepalive_requests 1000000;
  client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fastcgi;
  uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;
  server {{
    {listen}
    location / {{ return 200 "{name} $remote_addr $server_addr:$server_port\n"; }}
    location = /blob {{ alias {blob}; }}
    location /upload/ {{ root {dir}; dav_methods PUT; client_max_body_size 0; }}
  }}
}}
"#,
        blob = blob.display()
    )
}
