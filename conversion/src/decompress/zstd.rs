//! zstd (RFC 8878): frames one after another, some of which are to be skipped.

use std::io::{self, BufRead, Read};

use ruzstd::decoding::{
    FrameDecoder, StreamingDecoder,
    errors::{FrameDecoderError, ReadFrameHeaderError},
};

use super::{DecompressError, Output};

pub(super) fn unpack(input: &mut impl BufRead, output: &mut Output<'_>) -> Result<(), DecompressError> {
    // Its window and tables are used for every frame again.
    let mut decoder = FrameDecoder::new();
    while !input
        .fill_buf()
        .map_err(|error| output.damaged(error))?
        .is_empty()
    {
        output.begin_member()?;
        match StreamingDecoder::new_with_decoder(&mut *input, &mut decoder) {
            Ok(mut frame) => {
                output.drain(&mut frame)?;
                let decoder = frame.into_frame_decoder();
                let told = decoder.get_checksum_from_data();
                if !decoder.is_finished() || (told.is_some() && told != decoder.get_calculated_checksum()) {
                    return Err(output.damaged("a frame has another checksum than it says"));
                }
            }
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length, ..
            })) => {
                let length = u64::from(length);
                let skipped = io::copy(&mut (&mut *input).take(length), &mut io::sink());
                if skipped.map_err(|error| output.damaged(error))? != length {
                    return Err(output.damaged("it ends in a frame that is to be skipped"));
                }
            }
            Err(error) => return Err(output.damaged(error)),
        }
    }
    Ok(())
}
