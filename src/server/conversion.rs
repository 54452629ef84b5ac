//! The plugins of imports, from the configuration; and the process that converts.

use std::{env, ffi::OsString, path::Path, process::ExitCode, thread};

use saccade_conversion::{Converter, Options, Sandbox, TargetFormat, UnusableError, find_qemu_img, worker};

use crate::{
    config::{self, ConversionSandbox, DiskTarget, ImportPlugin},
    import::plugins::{Conversions, Injection, Plugin, Plugins},
};

/// The command that is nobody's to give: the daemon starts itself with it.
pub const CONVERT_WORKER: &str = "convert-worker";

/// The process that converts; does not return if it can. See [`worker::run`].
pub fn convert_worker(order: &[OsString]) -> ExitCode {
    worker::run(order)
}

/// Images cannot be converted here.
#[derive(Debug, thiserror::Error)]
pub enum ConversionError {
    /// It is not installed.
    #[error(
        "image_import_plugins names image_conversion, and there is no qemu-img in PATH: install it (qemu-utils, qemu-img)"
    )]
    NoProgram,
    /// The process cannot be started, or not be locked in.
    #[error(
        "image_import_plugins names image_conversion, and images cannot be converted safely here \
         ([saccade] conversion_sandbox)"
    )]
    Unusable(#[source] UnusableError),
}

/// What is done to every import. Starts a process if images are to be converted. Blocks.
///
/// # Errors
/// Images are to be converted, and cannot be.
pub(super) fn plugins(told: &config::Plugins, data_dir: &Path) -> Result<Plugins, ConversionError> {
    let plugins = told.list.iter().map(|plugin| {
        Ok(match plugin {
            ImportPlugin::InjectMetadata => Plugin::InjectMetadata(Injection {
                properties: told.inject.clone(),
                ignore_user_roles: told.ignore_user_roles.clone(),
            }),
            ImportPlugin::Decompression => Plugin::Decompression,
            ImportPlugin::Conversion => Plugin::Conversion(conversions(told, data_dir)?),
            ImportPlugin::NoOp => Plugin::NoOp,
        })
    });
    Ok(Plugins::new(plugins.collect::<Result<Vec<_>, _>>()?))
}

/// Whether images can be converted, as far as can be told without starting anything.
///
/// # Errors
/// `NoProgram`.
pub(super) fn check(told: &config::Plugins) -> Result<(), ConversionError> {
    if told.list.contains(&ImportPlugin::Conversion) {
        find_qemu_img(env::var_os("PATH").as_ref()).ok_or(ConversionError::NoProgram)?;
    }
    Ok(())
}

fn conversions(told: &config::Plugins, data_dir: &Path) -> Result<Conversions, ConversionError> {
    let qemu_img = find_qemu_img(env::var_os("PATH").as_ref()).ok_or(ConversionError::NoProgram)?;
    let converter = Converter::open(Options {
        // This very program, also when a newer one has been installed in its place.
        program: "/proc/self/exe".into(),
        arguments: vec![CONVERT_WORKER.into()],
        qemu_img: qemu_img.clone(),
        directory: data_dir.join("conversion"),
        sandbox: match told.sandbox {
            ConversionSandbox::Required => Sandbox::Required,
            ConversionSandbox::BestEffort => Sandbox::BestEffort,
        },
        time: told.conversion_time_limit,
    });
    let converter = converter.map_err(ConversionError::Unusable)?;
    let (layers, version) = (converter.layers(), converter.version());
    let missing = layers.missing().join(", ");
    match (layers.landlock && layers.seccomp, missing.is_empty()) {
        (true, true) => {
            tracing::info!(program = %qemu_img.display(), version, "images are converted, locked in")
        }
        (true, false) => tracing::info!(
            program = %qemu_img.display(),
            version,
            missing,
            "images are converted, locked in by what does not need what this system does not allow"
        ),
        (false, _) => tracing::warn!(
            program = %qemu_img.display(),
            version,
            missing,
            "images are converted, and this system does not lock that in (conversion_sandbox = best-effort)"
        ),
    }
    let to = match told.output_format {
        DiskTarget::Raw => TargetFormat::Raw,
        DiskTarget::Qcow2 => TargetFormat::Qcow2,
        DiskTarget::Vmdk => TargetFormat::Vmdk,
    };
    // Each uses several threads and up to a gigabyte.
    let at_once = thread::available_parallelism().map_or(1, |processors| (processors.get() / 2).clamp(1, 8));
    Ok(Conversions::new(converter, to, at_once))
}
