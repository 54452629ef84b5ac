//! `saccade user` and `saccade project`: the local identity, whether the daemon runs or not.

use super::{ConfigArgs, Exit, Streams, load};
use crate::{
    config::{self, Config},
    identity::{
        Secret,
        local::{AdminRequest, Endpoint, LocalOptions, MAX_PASSWORD_BYTES, Role, Scheme, Switch, control},
    },
};
use clap::{
    Args, Subcommand, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
};
use std::io::{self, Read};

#[derive(Debug, Args)]
pub(super) struct User {
    #[command(subcommand)]
    command: UserCommand,
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Make a user, by default with a project and a random password of their own.
    Add {
        /// The user's name.
        name: String,
        /// An existing project to be in, instead of a new one of the user's name.
        #[arg(long)]
        project: Option<String>,
        /// The role in the project [default: member].
        #[arg(long, value_parser = role())]
        role: Option<Role>,
        #[command(flatten)]
        password: PasswordArgs,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Show all users.
    List {
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Remove a user. Their tokens are void at once; what their projects own stays.
    Remove {
        /// The user's name.
        name: String,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Give a user a new password, by default a random one. Their tokens are void at once.
    Password {
        /// The user's name.
        name: String,
        #[command(flatten)]
        password: PasswordArgs,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Let a user log in, or keep them out.
    Set {
        /// The user's name.
        name: String,
        /// Whether they can log in.
        #[arg(value_enum)]
        to: Access,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Give a user a role in a project.
    Grant(RoleArgs),
    /// Take a role in a project from a user.
    Revoke(RoleArgs),
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Access {
    Enabled,
    Disabled,
}

#[derive(Debug, Args)]
struct RoleArgs {
    /// The user's name.
    user: String,
    /// The project's name.
    project: String,
    /// The role.
    #[arg(value_parser = role())]
    role: Role,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Never an argument: every user of the machine can read those.
#[derive(Debug, Args)]
struct PasswordArgs {
    /// Read the password from the first line of standard input.
    #[arg(long)]
    password_stdin: bool,
}

#[derive(Debug, Args)]
pub(super) struct Project {
    #[command(subcommand)]
    command: ProjectCommand,
}

#[derive(Debug, Subcommand)]
enum ProjectCommand {
    /// Make a project.
    Add {
        /// Its name.
        name: String,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Show all projects.
    List {
        #[command(flatten)]
        config: ConfigArgs,
    },
}

fn role() -> impl TypedValueParser<Value = Role> {
    PossibleValuesParser::new(Role::ALL.map(Role::name))
        .try_map(|name| Role::parse(&name).ok_or("there is no such role"))
}

impl User {
    pub(super) fn run(self, streams: &mut Streams<'_>) -> Exit {
        let (request, config) = match self.command {
            UserCommand::Add {
                name,
                project,
                role,
                password,
                config,
            } => match password.read(streams) {
                Ok(password) => (
                    AdminRequest::UserAdd {
                        name,
                        project,
                        role,
                        password,
                    },
                    config,
                ),
                Err(exit) => return exit,
            },
            UserCommand::List { config } => (AdminRequest::UserList, config),
            UserCommand::Remove { name, config } => (AdminRequest::UserRemove { name }, config),
            UserCommand::Password {
                name,
                password,
                config,
            } => match password.read(streams) {
                Ok(password) => (AdminRequest::UserPassword { name, password }, config),
                Err(exit) => return exit,
            },
            UserCommand::Set { name, to, config } => {
                let to = match to {
                    Access::Enabled => Switch::Enabled,
                    Access::Disabled => Switch::Disabled,
                };
                (AdminRequest::UserSwitch { name, to }, config)
            }
            UserCommand::Grant(RoleArgs {
                user,
                project,
                role,
                config,
            }) => (AdminRequest::RoleAdd { user, project, role }, config),
            UserCommand::Revoke(RoleArgs {
                user,
                project,
                role,
                config,
            }) => (AdminRequest::RoleRemove { user, project, role }, config),
        };
        administer(request, config, streams)
    }
}

impl Project {
    pub(super) fn run(self, streams: &mut Streams<'_>) -> Exit {
        match self.command {
            ProjectCommand::Add { name, config } => {
                administer(AdminRequest::ProjectAdd { name }, config, streams)
            }
            ProjectCommand::List { config } => administer(AdminRequest::ProjectList, config, streams),
        }
    }
}

impl PasswordArgs {
    /// `None` asks for a random one.
    fn read(&self, streams: &mut Streams<'_>) -> Result<Option<Secret>, Exit> {
        if !self.password_stdin {
            return Ok(None);
        }
        match first_line(streams.input) {
            Ok(password) => Ok(Some(password)),
            Err(error) => Err(streams.fail("cannot read a password from standard input", &error)),
        }
    }
}

/// Reads on to the end, so that whoever writes is not interrupted, but no more than a password may hold.
fn first_line(input: &mut dyn Read) -> io::Result<Secret> {
    // One more than allowed, and the end of the line: too long a password is refused, not cut.
    let most = u64::try_from(MAX_PASSWORD_BYTES + 3).unwrap_or(u64::MAX);
    let mut text = String::with_capacity(MAX_PASSWORD_BYTES + 3);
    input.take(most).read_to_string(&mut text)?;
    let end = text.find('\n').unwrap_or(text.len());
    text.truncate(end);
    if text.ends_with('\r') {
        text.pop();
    }
    if text.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the first line is empty",
        ));
    }
    Ok(Secret::new(text))
}

fn administer(request: AdminRequest, config: ConfigArgs, streams: &mut Streams<'_>) -> Exit {
    let config = match load(config, streams) {
        Ok(loaded) => loaded.config,
        Err(exit) => return exit,
    };
    let options = match options(&config) {
        Ok(options) => options,
        Err(why) => {
            streams.complain(&format!("saccade: {why}"));
            return Exit::Config;
        }
    };
    // Anything else would make an identity where no daemon looks for one.
    let data_dir = &config.node.data_dir;
    if !data_dir.join("identity").is_dir() {
        return streams.complain(&format!(
            "saccade: no daemon has kept users in {} yet: start it once with `saccade serve`, or say by --data-dir where its \
             data is",
            data_dir.display()
        ));
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return streams.fail("cannot start the runtime", &error),
    };
    match runtime.block_on(control::administer(data_dir, request, options)) {
        Ok(reply) => streams.print(&format!("{reply}\n")),
        Err(error) => streams.complain(&format!("saccade: {error}")),
    }
}

/// Where users are not ours, whose they are.
fn options(config: &Config) -> Result<LocalOptions, String> {
    let token_lifetime = match &config.identity {
        config::Identity::Local { token_lifetime } => *token_lifetime,
        config::Identity::TrustedHeaders { .. } => {
            let text = "users and projects are kept by the proxy in front ([saccade] identity = trusted-headers), not here";
            return Err(text.to_owned());
        }
        config::Identity::Keystone(keystone) => {
            return Err(format!(
                "users and projects are kept by Keystone at {}, not here: use `openstack user create` and `openstack project \
                 create`",
                keystone.auth_url
            ));
        }
        config::Identity::NoneEveryoneIsAdmin => {
            let text = "there are no users: everyone is an administrator ([saccade] identity = none-everyone-is-admin)";
            return Err(text.to_owned());
        }
    };
    let endpoint = config
        .server
        .public_endpoint
        .as_deref()
        .and_then(|public| Endpoint::parse(public).ok())
        .unwrap_or_else(|| Endpoint::of_listener(Scheme::Http, config.server.bind));
    Ok(LocalOptions {
        token_lifetime,
        ..LocalOptions::new(endpoint)
    })
}
