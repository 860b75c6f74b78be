import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;
import java.util.zip.ZipOutputStream;
import org.objectweb.asm.ClassReader;
import org.objectweb.asm.ClassVisitor;
import org.objectweb.asm.ClassWriter;
import org.objectweb.asm.Handle;
import org.objectweb.asm.MethodVisitor;
import org.objectweb.asm.Opcodes;
import org.objectweb.asm.Type;

/**
 * Does to a jar what {@code javac -XDstringConcat=inline} does to source: {@code java -cp asm.jar Concatenations.java <jar> <out>}.
 * A concatenation compiled the default way is built at run time, by classes that no class-data archive can hold: a tenth of the
 * processor time of a start. Each becomes a call of a private method that appends to a StringBuilder.
 */
public final class Concatenations {
    private Concatenations() {}

    public static void main(String[] arguments) throws IOException {
        try (ZipFile jar = new ZipFile(arguments[0]);
                OutputStream file = Files.newOutputStream(Path.of(arguments[1]));
                ZipOutputStream out = new ZipOutputStream(file)) {
            for (ZipEntry entry : jar.stream().toList()) {
                byte[] content = jar.getInputStream(entry).readAllBytes();
                ZipEntry copy = new ZipEntry(entry.getName());
                copy.setTimeLocal(entry.getTimeLocal());
                out.putNextEntry(copy);
                out.write(entry.getName().endsWith(".class") ? inline(content) : content);
            }
        }
    }

    /** The same class with its concatenations in line; the same bytes if it has none. */
    private static byte[] inline(byte[] content) {
        ClassReader reader = new ClassReader(content);
        ClassWriter writer = new ClassWriter(reader, 0);
        Inliner inliner = new Inliner(reader, writer);
        reader.accept(inliner, 0);
        return inliner.methods.isEmpty() ? content : writer.toByteArray();
    }

    /** What is concatenated: the types of the operands, and a recipe in which \1 stands for the next of them. */
    private record Concatenation(String descriptor, String recipe) {}

    private static final class Inliner extends ClassVisitor {
        private static final String BUILDER = "java/lang/StringBuilder";
        private static final String STRING = "Ljava/lang/String;";

        private final Map<Concatenation, String> methods = new LinkedHashMap<>();
        private final String owner;
        private final boolean isInterface;

        Inliner(ClassReader reader, ClassWriter writer) {
            super(Opcodes.ASM9, writer);
            owner = reader.getClassName();
            isInterface = (reader.getAccess() & Opcodes.ACC_INTERFACE) != 0;
        }

        @Override
        public MethodVisitor visitMethod(int access, String name, String descriptor, String signature, String[] exceptions) {
            return new MethodVisitor(Opcodes.ASM9, super.visitMethod(access, name, descriptor, signature, exceptions)) {
                @Override
                public void visitInvokeDynamicInsn(String name, String descriptor, Handle bootstrap, Object... constants) {
                    if (isConcatenation(bootstrap, constants)) {
                        Concatenation site = new Concatenation(descriptor, (String) constants[0]);
                        String method = methods.computeIfAbsent(site, any -> "stele$concatenation$" + methods.size());
                        visitMethodInsn(Opcodes.INVOKESTATIC, owner, method, descriptor, isInterface);
                    } else {
                        super.visitInvokeDynamicInsn(name, descriptor, bootstrap, constants);
                    }
                }
            };
        }

        /** Recipes with constants apart (\2) are rare, and stay as they are. */
        private static boolean isConcatenation(Handle bootstrap, Object... constants) {
            return bootstrap.getOwner().equals("java/lang/invoke/StringConcatFactory")
                    && bootstrap.getName().equals("makeConcatWithConstants")
                    && constants.length == 1;
        }

        @Override
        public void visitEnd() {
            methods.forEach((site, name) -> {
                int access = Opcodes.ACC_PRIVATE | Opcodes.ACC_STATIC | Opcodes.ACC_SYNTHETIC;
                concatenate(super.visitMethod(access, name, site.descriptor(), null, null), site);
            });
            super.visitEnd();
        }

        private static void concatenate(MethodVisitor code, Concatenation site) {
            code.visitCode();
            code.visitTypeInsn(Opcodes.NEW, BUILDER);
            code.visitInsn(Opcodes.DUP);
            code.visitMethodInsn(Opcodes.INVOKESPECIAL, BUILDER, "<init>", "()V", false);
            Iterator<Type> operands = List.of(Type.getArgumentTypes(site.descriptor())).iterator();
            int local = 0;
            for (String part : site.recipe().split("(?<=\1)|(?=\1)")) {
                if (part.equals("\1")) {
                    Type operand = operands.next();
                    code.visitVarInsn(operand.getOpcode(Opcodes.ILOAD), local);
                    append(code, appended(operand));
                    local += operand.getSize();
                } else if (!part.isEmpty()) {
                    code.visitLdcInsn(part);
                    append(code, STRING);
                }
            }
            code.visitMethodInsn(Opcodes.INVOKEVIRTUAL, BUILDER, "toString", "()" + STRING, false);
            code.visitInsn(Opcodes.ARETURN);
            code.visitMaxs(3, local);
            code.visitEnd();
        }

        private static void append(MethodVisitor code, String type) {
            code.visitMethodInsn(Opcodes.INVOKEVIRTUAL, BUILDER, "append", "(" + type + ")L" + BUILDER + ";", false);
        }

        /** The StringBuilder's method that says of an operand what a concatenation does; not the one for char[], for example. */
        private static String appended(Type operand) {
            return switch (operand.getSort()) {
                case Type.BYTE, Type.SHORT -> "I";
                case Type.ARRAY, Type.OBJECT -> operand.getDescriptor().equals(STRING) ? STRING : "Ljava/lang/Object;";
                default -> operand.getDescriptor();
            };
        }
    }
}
