//! `clouds.yaml` and `openrc`, so that the stock clients log in without further setting up.
//!
//! A file is only ever replaced when it reads exactly as it was written, but for address and password; the password is
//! then kept as it stands. So whatever an operator changes stays, and a new address still finds its way in.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::bootstrap::Bootstrap;
use super::endpoint::Endpoint;

const CLOUDS_YAML: &str = "\
# Written by saccade. The address is kept up to date as long as nothing but the password is changed here.
clouds:
  saccade:
    auth:
      auth_url: '@URL@/v3'
      username: 'admin'
      password: '@PASSWORD@'
      project_name: 'admin'
      user_domain_id: 'default'
      project_domain_id: 'default'
    region_name: 'RegionOne'
    identity_api_version: 3
";

const OPENRC: &str = "\
# Written by saccade. The address is kept up to date as long as nothing but the password is changed here.
unset OS_CLOUD OS_TOKEN OS_PROJECT_ID OS_TENANT_ID OS_TENANT_NAME OS_DOMAIN_ID OS_DOMAIN_NAME OS_SYSTEM_SCOPE OS_USER_ID
unset OS_ENDPOINT OS_IMAGE_ENDPOINT_OVERRIDE OS_USER_DOMAIN_NAME OS_PROJECT_DOMAIN_NAME
export OS_AUTH_TYPE=password
export OS_AUTH_URL='@URL@/v3'
export OS_USERNAME='admin'
export OS_PASSWORD='@PASSWORD@'
export OS_PROJECT_NAME='admin'
export OS_USER_DOMAIN_ID='default'
export OS_PROJECT_DOMAIN_ID='default'
export OS_REGION_NAME='RegionOne'
export OS_IDENTITY_API_VERSION=3
";

/// Larger files are not ours.
const MAX_BYTES: u64 = 64 * 1024;

/// What became of the two files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFiles {
    /// `clouds.yaml`: for `openstack`, the SDK and Terraform.
    pub clouds_yaml: ClientFile,
    /// `openrc`: for `glance` too, which reads no `clouds.yaml`.
    pub openrc: ClientFile,
    /// Three lines to paste into a shell: log in, upload, list.
    pub try_it: [String; 3],
}

/// One file and what was done to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFile {
    /// Where it is.
    pub path: PathBuf,
    /// What was done.
    pub state: ClientFileState,
}

/// What was done to a client file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientFileState {
    /// Written with the first password.
    Written,
    /// Written with the first password; what an operator had there is now under this name.
    Replaced(PathBuf),
    /// The address was brought up to date.
    Refreshed,
    /// It was right already.
    Current,
    /// An operator has changed it: not touched, so its address may be an old one.
    Kept,
    /// There is none, and the password is not known any more.
    Absent,
}

/// Writes or refreshes both files in `data_dir`.
pub(super) fn write(
    data_dir: &Path,
    endpoint: &Endpoint,
    bootstrap: Option<&Bootstrap>,
) -> io::Result<ClientFiles> {
    let one = |name: &str, template| {
        let path = data_dir.join(name);
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let state = refresh(&path, template, endpoint, bootstrap).map_err(named)?;
        Ok::<_, io::Error>(ClientFile { path, state })
    };
    let openrc = one("openrc", OPENRC)?;
    let clouds_yaml = one("clouds.yaml", CLOUDS_YAML)?;
    let try_it = [
        format!(
            ". {}",
            shell_quoted(&std::path::absolute(&openrc.path)?.to_string_lossy())
        ),
        "openstack image create --disk-format raw --container-format bare --file FILE NAME".to_owned(),
        "glance image-list".to_owned(),
    ];
    Ok(ClientFiles {
        clouds_yaml,
        openrc,
        try_it,
    })
}

fn refresh(
    path: &Path,
    template: &str,
    endpoint: &Endpoint,
    bootstrap: Option<&Bootstrap>,
) -> io::Result<ClientFileState> {
    let found = read(path)?;
    let ours = match &found {
        Found::Text(text) => parts(template, text),
        Found::Nothing | Found::Foreign => None,
    };
    match (bootstrap, &found, ours) {
        // Ours, with a password that is void now.
        (Some(bootstrap), Found::Nothing, _) | (Some(bootstrap), _, Some(_)) => {
            replace(
                path,
                &render(template, endpoint.as_str(), bootstrap.password.expose()),
            )?;
            Ok(ClientFileState::Written)
        }
        (Some(bootstrap), _, None) => {
            let kept = keep_aside(path)?;
            replace(
                path,
                &render(template, endpoint.as_str(), bootstrap.password.expose()),
            )?;
            Ok(ClientFileState::Replaced(kept))
        }
        (None, Found::Nothing, _) => Ok(ClientFileState::Absent),
        (None, _, Some((url, _))) if url == endpoint.as_str() => Ok(ClientFileState::Current),
        (None, _, Some((_, password))) => {
            replace(path, &render(template, endpoint.as_str(), password))?;
            Ok(ClientFileState::Refreshed)
        }
        (None, _, None) => Ok(ClientFileState::Kept),
    }
}

enum Found {
    Nothing,
    Text(String),
    /// Not a text of ours in any case.
    Foreign,
}

fn read(path: &Path) -> io::Result<Found> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(error),
    };
    if !file.metadata()?.is_file() {
        return Ok(Found::Foreign);
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8(bytes).map_or(Found::Foreign, Found::Text))
}

fn render(template: &str, url: &str, password: &str) -> String {
    template.replace("@URL@", url).replace("@PASSWORD@", password)
}

/// Address and password, as they stand between the quotes, of a text that is otherwise the template.
fn parts<'t>(template: &str, text: &'t str) -> Option<(&'t str, &'t str)> {
    let (start, rest) = template.split_once("@URL@")?;
    let (middle, end) = rest.split_once("@PASSWORD@")?;
    let (url, password) = text.strip_prefix(start)?.strip_suffix(end)?.split_once(middle)?;
    (!url.contains('\n') && !password.contains('\n')).then_some((url, password))
}

/// Gives an operator's file a second name that nothing has yet.
fn keep_aside(path: &Path) -> io::Result<PathBuf> {
    let mut last = io::ErrorKind::AlreadyExists.into();
    for number in 1..100 {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".old{number}"));
        match fs::hard_link(path, &name) {
            Ok(()) => return Ok(name.into()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

/// Replaces a file whole, readable by its owner only, on disk when it returns.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// A word of a POSIX shell.
fn shell_quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::identity::Secret;

    fn bootstrap(password: &str) -> Bootstrap {
        Bootstrap {
            user: "admin",
            project: "admin",
            password: Secret::new(password.to_owned()),
        }
    }

    fn endpoint(text: &str) -> Endpoint {
        Endpoint::parse(text).unwrap()
    }

    fn states(files: &ClientFiles) -> [&ClientFileState; 2] {
        [&files.clouds_yaml.state, &files.openrc.state]
    }

    #[test]
    fn writes_both_files_for_the_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let files = write(dir.path(), &endpoint("http://a:1"), Some(&bootstrap("s3cret"))).unwrap();
        assert_eq!(states(&files), [&ClientFileState::Written; 2]);
        for (file, line) in [
            (&files.clouds_yaml, "password: 's3cret'"),
            (&files.openrc, "OS_PASSWORD='s3cret'"),
        ] {
            assert!(fs::read_to_string(&file.path).unwrap().contains(line));
            assert_eq!(
                fs::metadata(&file.path).unwrap().permissions().mode() & 0o777,
                0o600
            );
        }
        assert_eq!(
            files.try_it[0],
            format!(". {}", dir.path().join("openrc").display())
        );
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn refreshes_the_address_and_keeps_the_password() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &endpoint("http://a:1"), Some(&bootstrap("s3cret"))).unwrap();
        let again = write(dir.path(), &endpoint("http://a:1"), None).unwrap();
        assert_eq!(states(&again), [&ClientFileState::Current; 2]);
        let moved = write(dir.path(), &endpoint("https://b:2"), None).unwrap();
        assert_eq!(states(&moved), [&ClientFileState::Refreshed; 2]);
        let text = fs::read_to_string(&moved.clouds_yaml.path).unwrap();
        assert_eq!(text, render(CLOUDS_YAML, "https://b:2", "s3cret"));
    }

    #[test]
    fn keeps_a_password_that_the_operator_wrote_into_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let files = write(dir.path(), &endpoint("http://a:1"), Some(&bootstrap("s3cret"))).unwrap();
        let path = &files.clouds_yaml.path;
        fs::write(
            path,
            fs::read_to_string(path).unwrap().replace("s3cret", "it''s @URL@"),
        )
        .unwrap();
        let moved = write(dir.path(), &endpoint("http://b:2"), None).unwrap();
        assert_eq!(moved.clouds_yaml.state, ClientFileState::Refreshed);
        let text = fs::read_to_string(path).unwrap();
        assert!(
            text.contains("password: 'it''s @URL@'") && text.contains("'http://b:2/v3'"),
            "{text}"
        );
    }

    #[test]
    fn never_touches_a_file_that_the_operator_changed_otherwise() {
        let dir = tempfile::tempdir().unwrap();
        let files = write(dir.path(), &endpoint("http://a:1"), Some(&bootstrap("s3cret"))).unwrap();
        let path = &files.clouds_yaml.path;
        let edited = fs::read_to_string(path).unwrap() + "  other:\n    auth: {}\n";
        fs::write(path, &edited).unwrap();
        let moved = write(dir.path(), &endpoint("http://b:2"), None).unwrap();
        assert_eq!(moved.clouds_yaml.state, ClientFileState::Kept);
        assert_eq!(fs::read_to_string(path).unwrap(), edited);
        let anew = write(dir.path(), &endpoint("http://b:2"), Some(&bootstrap("new"))).unwrap();
        let ClientFileState::Replaced(old) = anew.clouds_yaml.state else {
            panic!("{anew:?}")
        };
        assert_eq!(fs::read_to_string(old).unwrap(), edited);
        assert!(fs::read_to_string(path).unwrap().contains("'new'"));
    }

    #[test]
    fn invents_no_password_for_a_file_that_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let files = write(dir.path(), &endpoint("http://a:1"), None).unwrap();
        assert_eq!(states(&files), [&ClientFileState::Absent; 2]);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn quotes_paths_for_the_shell() {
        assert_eq!(shell_quoted("/var/lib/saccade/openrc"), "/var/lib/saccade/openrc");
        assert_eq!(shell_quoted("/it's here"), r"'/it'\''s here'");
    }
}
