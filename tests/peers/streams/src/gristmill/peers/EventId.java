package gristmill.peers;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.UUID;

/** Derives UUIDs of version 5, as the other runners do. For one thread. */
final class EventId {
    /** The namespace of URLs (source: RFC 9562, section 6.6). */
    private static final UUID NAMESPACE = UUID.fromString("6ba7b811-9dad-11d1-80b4-00c04fd430c8");

    private final MessageDigest sha1;

    EventId() {
        try {
            sha1 = MessageDigest.getInstance("SHA-1");
        } catch (NoSuchAlgorithmException problem) {
            throw new IllegalStateException("every JVM has SHA-1", problem);
        }
    }

    /** The id of what has this name. */
    String of(String name) {
        ByteBuffer space = ByteBuffer.allocate(16);
        space.putLong(NAMESPACE.getMostSignificantBits());
        space.putLong(NAMESPACE.getLeastSignificantBits());
        sha1.update(space.array());
        ByteBuffer hash = ByteBuffer.wrap(sha1.digest(utf8(name)));
        long most = hash.getLong() & ~0xf000L | 0x5000L;
        long least = hash.getLong() & 0x3fff_ffff_ffff_ffffL | 0x8000_0000_0000_0000L;
        return new UUID(most, least).toString();
    }

    static byte[] utf8(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }
}
