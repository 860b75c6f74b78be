import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;

/**
 * Makes a Java trust store of a PEM bundle: {@code java Truststore.java <bundle> <store>}. No password and no dates inside, so
 * the same bundle gives the same bytes (keytool's would differ on each run, and take a minute).
 */
public final class Truststore {
    private Truststore() {}

    public static void main(String[] arguments) throws Exception {
        System.setProperty("keystore.pkcs12.certProtectionAlgorithm", "NONE");
        System.setProperty("keystore.pkcs12.macAlgorithm", "NONE");
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(null, null);
        try (InputStream bundle = Files.newInputStream(Path.of(arguments[0]))) {
            int number = 0;
            for (Certificate certificate : CertificateFactory.getInstance("X.509").generateCertificates(bundle)) {
                String subject = ((X509Certificate) certificate).getSubjectX500Principal().getName();
                store.setCertificateEntry(String.format("%04d %s", ++number, subject), certificate);
            }
        }
        try (OutputStream out = Files.newOutputStream(Path.of(arguments[1]))) {
            store.store(out, null);
        }
    }
}
