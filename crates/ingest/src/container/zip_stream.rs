//! The data of a ZIP's member, inflated as it is read; at its end length and CRC-32 are held against those that the member has to have.

use std::io::{self, BufRead, Read, Take};

use flate2::bufread::DeflateDecoder;
use flate2::{Decompress, FlushDecompress, Status};
use libdeflater::Crc;

use super::content::wrong_crc;

/// How a member's data is to be read, and what comes out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packed {
    pub(super) is_deflated: bool,
    pub(super) data_bytes: u64,
    pub(super) bytes: u64,
    pub(super) crc32: u32,
}

/// A member's content.
pub(super) struct ZipStream<R> {
    data: Data<R>,
    packed: Packed,
    bytes: u64,
    crc: Crc,
}

enum Data<R> {
    Stored(Take<R>),
    Deflated(DeflateDecoder<Take<R>>),
}

impl<R: BufRead> ZipStream<R> {
    /// The content of the data that comes next.
    pub(super) fn new(reader: R, packed: Packed) -> Self {
        let data = reader.take(packed.data_bytes);
        let data = if packed.is_deflated { Data::Deflated(DeflateDecoder::new(data)) } else { Data::Stored(data) };
        Self { data, packed, bytes: 0, crc: Crc::new() }
    }

    /// Bytes of the data up to the end of what was read. Once all was read, those behind it are none of the content.
    pub(super) fn used(&self) -> u64 {
        match &self.data {
            Data::Stored(data) => self.packed.data_bytes - data.limit(),
            Data::Deflated(data) => data.total_in(),
        }
    }

    fn read_data(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.data {
            Data::Stored(data) => data.read(buffer),
            Data::Deflated(data) => data.read(buffer),
        }
    }

    /// What is wrong with a content that has ended.
    fn check(&self) -> io::Result<()> {
        let Packed { bytes, crc32, .. } = self.packed;
        if self.bytes < bytes {
            let message = format!("cut: expected {bytes} bytes, found {}", self.bytes);
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
        }
        if self.crc.sum() != crc32 {
            return Err(wrong_crc(crc32, self.crc.sum()));
        }
        Ok(())
    }
}

impl<R: BufRead> Read for ZipStream<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.packed.bytes - self.bytes;
        if buffer.is_empty() {
            return Ok(0);
        }
        if left == 0 {
            if self.read_data(&mut [0; 1])? > 0 {
                let message = format!("expected {} bytes, found more", self.packed.bytes);
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
            return self.check().map(|()| 0);
        }
        let at_most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let wanted = buffer.get_mut(..at_most).unwrap_or_default();
        let count = self.read_data(wanted)?;
        if count == 0 {
            return self.check().map(|()| 0);
        }
        self.bytes += count as u64;
        self.crc.update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

/// DEFLATE of which nobody says how long its data is. To end without the end of the stream is an error.
pub(super) struct Inflate<R> {
    data: R,
    decompress: Decompress,
    is_over: bool,
}

impl<R: BufRead> Inflate<R> {
    pub(super) fn new(data: R) -> Self {
        Self { data, decompress: Decompress::new(false), is_over: false }
    }

    /// Bytes of the data that were used.
    pub(super) fn used(&self) -> u64 {
        self.decompress.total_in()
    }
}

impl<R: BufRead> Read for Inflate<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !self.is_over && !buffer.is_empty() {
            let data = self.data.fill_buf()?;
            let is_end = data.is_empty();
            let (before, made_before) = (self.decompress.total_in(), self.decompress.total_out());
            let status = self.decompress.decompress(data, buffer, FlushDecompress::None);
            let [used, made] = [self.decompress.total_in() - before, self.decompress.total_out() - made_before]
                .map(|bytes| usize::try_from(bytes).unwrap_or_default());
            self.data.consume(used);
            match status {
                Ok(status) => {
                    self.is_over = status == Status::StreamEnd;
                    if made > 0 {
                        return Ok(made);
                    }
                    if is_end && !self.is_over {
                        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "cut: the file ends too early"));
                    }
                }
                Err(_) => return Err(io::Error::new(io::ErrorKind::InvalidInput, "corrupt deflate stream")),
            }
        }
        Ok(0)
    }
}
