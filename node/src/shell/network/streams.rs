//! What every protocol here does with a stream: opens it, makes sure that it works both ways, moves blocks.
//!
//! A stream begins with one byte from each side, [`READY`]. Lazy negotiation tells the opener nothing before the other
//! side speaks, and a stream that the other side had no room for is dropped in silence: the byte tells both. A block is
//! a 4-byte big-endian length and so many bytes.

use std::{io, time::Duration};

use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use libp2p::{PeerId, Stream, StreamProtocol};
use libp2p_stream::Control;
use tokio::time::{sleep, timeout};

/// Replication between members.
pub(super) const LOG: StreamProtocol = StreamProtocol::new("/aiemp/log/1");
/// One A2A call.
pub(super) const CALL: StreamProtocol = StreamProtocol::new("/aiemp/a2a/cbor/1");
/// Pairing, for the holder of the invite's ticket.
pub(super) const PAIR: StreamProtocol = StreamProtocol::new("/aiemp/pair/2");
/// Pairing with a node that does not say what its vault holds.
pub(super) const PAIR_1: StreamProtocol = StreamProtocol::new("/aiemp/pair/1");

const READY: u8 = 1;
/// Opening takes two round trips; `open_stream` by itself may wait for ever.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// The other side drops streams that come at the same moment; each pause is twice as long as the one before.
const OPEN_ATTEMPTS_MAX: u32 = 5;

/// Opens a stream on any connection of a connected peer; one that was dropped is opened again.
pub(super) async fn open(mut control: Control, peer: PeerId, protocol: StreamProtocol) -> io::Result<Stream> {
    let mut attempt = 1;
    loop {
        match open_once(&mut control, peer, protocol.clone()).await {
            Err(error) if error.kind() != io::ErrorKind::TimedOut && attempt < OPEN_ATTEMPTS_MAX => {
                sleep(Duration::from_millis(1 << attempt)).await;
                attempt += 1;
            }
            outcome => return outcome,
        }
    }
}

async fn open_once(control: &mut Control, peer: PeerId, protocol: StreamProtocol) -> io::Result<Stream> {
    let opened = timeout(OPEN_TIMEOUT, control.open_stream(peer, protocol)).await?;
    greet(opened.map_err(io::Error::other)?).await
}

/// Exchanges the first bytes; afterwards the stream is known to work both ways.
pub(super) async fn greet<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) -> io::Result<S> {
    let exchange = async {
        stream.write_all(&[READY]).await?;
        stream.flush().await?;
        let mut first = [0];
        stream.read_exact(&mut first).await?;
        if first == [READY] { Ok(()) } else { Err(io::Error::other("the other side speaks another protocol")) }
    };
    timeout(OPEN_TIMEOUT, exchange).await??;
    Ok(stream)
}

/// Reads a block of at most `bytes_max`, taking memory only as bytes come in.
pub(super) async fn read_block(stream: &mut (impl AsyncRead + Unpin), bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).await?;
    let length = usize::try_from(u32::from_be_bytes(length)).expect("usize has at least 32 bits");
    if length > bytes_max {
        let reason = format!("a block of {length} bytes, above the bound of {bytes_max}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    }
    let mut block = Vec::new();
    stream.take(length as u64).read_to_end(&mut block).await?;
    if block.len() == length { Ok(block) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// Writes a block and flushes.
pub(super) async fn write_block(stream: &mut (impl AsyncWrite + Unpin), block: &[u8]) -> io::Result<()> {
    let length = u32::try_from(block.len()).map_err(io::Error::other)?;
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(block).await?;
    stream.flush().await
}

#[cfg(test)]
mod tests {
    use futures::io::Cursor;

    use super::*;

    #[tokio::test]
    async fn blocks_read_back_up_to_the_bound() {
        let mut wire = Cursor::new(Vec::new());
        for block in [b"".as_slice(), b"note", &[7; 1000]] {
            write_block(&mut wire, block).await.expect("writes");
        }
        wire.set_position(0);
        assert_eq!(read_block(&mut wire, 1000).await.expect("reads"), b"");
        assert_eq!(read_block(&mut wire, 1000).await.expect("reads"), b"note");
        let refused = read_block(&mut wire, 999).await.expect_err("too long");
        assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn a_cut_block_is_an_early_end() {
        for cut in [&[][..], &[0, 0], &[0, 0, 0, 2, 9]] {
            let refused = read_block(&mut Cursor::new(cut), 10).await.expect_err("cut");
            assert_eq!(refused.kind(), io::ErrorKind::UnexpectedEof);
        }
    }
}
