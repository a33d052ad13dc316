import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.Socket;
import java.net.SocketAddress;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import javax.net.SocketFactory;

/**
 * Lets pgJDBC reach a server that listens on a Unix-domain socket only.  Java
 * has channels for these, but no java.net.Socket, which the driver wants.
 */
public class UnixSockets extends SocketFactory {
	private final String path;

	/** The driver's property socketFactoryArg: the socket's path. */
	public UnixSockets(String path) {
		this.path = path;
	}

	@Override
	public Socket createSocket() {
		return new UnixSocket(path);
	}

	@Override
	public Socket createSocket(String host, int port) {
		return createSocket();
	}

	@Override
	public Socket createSocket(String host, int port, InetAddress local, int localPort) {
		return createSocket();
	}

	@Override
	public Socket createSocket(InetAddress host, int port) {
		return createSocket();
	}

	@Override
	public Socket createSocket(InetAddress host, int port, InetAddress local, int localPort) {
		return createSocket();
	}

	/** What the driver asks of a socket, over a channel; TCP's options do nothing. */
	private static class UnixSocket extends Socket {
		private final String path;
		private SocketChannel channel;

		UnixSocket(String path) {
			this.path = path;
		}

		@Override
		public void connect(SocketAddress ignored, int timeout) throws IOException {
			channel = SocketChannel.open(UnixDomainSocketAddress.of(path));
		}

		@Override
		public boolean isConnected() {
			return channel != null;
		}

		@Override
		public InputStream getInputStream() {
			// Not Channels.newInputStream(): reads and writes would wait for each other.
			return new InputStream() {
				@Override
				public int read() throws IOException {
					byte[] one = new byte[1];
					return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
				}

				@Override
				public int read(byte[] into, int offset, int length) throws IOException {
					return channel.read(ByteBuffer.wrap(into, offset, length));
				}
			};
		}

		@Override
		public OutputStream getOutputStream() {
			return new OutputStream() {
				@Override
				public void write(int one) throws IOException {
					write(new byte[] {(byte) one}, 0, 1);
				}

				@Override
				public void write(byte[] from, int offset, int length) throws IOException {
					ByteBuffer buffer = ByteBuffer.wrap(from, offset, length);
					while (buffer.hasRemaining()) {
						channel.write(buffer);
					}
				}
			};
		}

		@Override
		public void close() throws IOException {
			if (channel != null) {
				channel.close();
			}
		}

		@Override
		public boolean isClosed() {
			return channel != null && !channel.isOpen();
		}

		@Override
		public void setTcpNoDelay(boolean on) {}

		@Override
		public void setKeepAlive(boolean on) {}

		@Override
		public void setSoTimeout(int timeout) {}

		@Override
		public int getSoTimeout() {
			return 0;
		}

		@Override
		public void setSendBufferSize(int size) {}

		@Override
		public int getSendBufferSize() {
			return 8192;
		}

		@Override
		public void setReceiveBufferSize(int size) {}

		@Override
		public int getReceiveBufferSize() {
			return 8192;
		}
	}
}
