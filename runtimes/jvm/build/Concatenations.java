import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Iterator;
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
 * processor time of a start. Each becomes a StringBuilder, on the spot.
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
        Locals locals = new Locals();
        reader.accept(locals, ClassReader.SKIP_DEBUG | ClassReader.SKIP_FRAMES);
        if (locals.concatenations == 0) {
            return content;
        }
        ClassWriter writer = new ClassWriter(reader, 0);
        reader.accept(new Inliner(writer, locals.used), 0);
        return writer.toByteArray();
    }

    /** Whether a call site is a concatenation. Recipes with constants apart are rare, and stay as they are. */
    private static boolean isConcatenation(Handle bootstrap, Object... constants) {
        return bootstrap.getOwner().equals("java/lang/invoke/StringConcatFactory")
                && bootstrap.getName().equals("makeConcatWithConstants")
                && constants.length == 1;
    }

    /** First pass: counts concatenations, and the words of local variables that each method uses. */
    private static final class Locals extends ClassVisitor {
        private final Map<String, Integer> used = new HashMap<>();
        private int concatenations;

        Locals() {
            super(Opcodes.ASM9);
        }

        @Override
        public MethodVisitor visitMethod(int access, String name, String descriptor, String signature, String[] exceptions) {
            return new MethodVisitor(Opcodes.ASM9) {
                @Override
                public void visitInvokeDynamicInsn(String site, String types, Handle bootstrap, Object... constants) {
                    concatenations += isConcatenation(bootstrap, constants) ? 1 : 0;
                }

                @Override
                public void visitMaxs(int stack, int locals) {
                    used.put(name + descriptor, locals);
                }
            };
        }
    }

    /** Second pass. */
    private static final class Inliner extends ClassVisitor {
        private final Map<String, Integer> used;

        Inliner(ClassWriter writer, Map<String, Integer> used) {
            super(Opcodes.ASM9, writer);
            this.used = used;
        }

        @Override
        public MethodVisitor visitMethod(int access, String name, String descriptor, String signature, String[] exceptions) {
            MethodVisitor code = super.visitMethod(access, name, descriptor, signature, exceptions);
            return new Method(code, used.getOrDefault(name + descriptor, 0));
        }
    }

    private static final class Method extends MethodVisitor {
        private static final String BUILDER = "java/lang/StringBuilder";
        private static final String STRING = "Ljava/lang/String;";

        private final int free;
        private int end;

        /** {@code free}: the first local variable that the method does not use. */
        Method(MethodVisitor code, int free) {
            super(Opcodes.ASM9, code);
            this.free = free;
            end = free;
        }

        @Override
        public void visitInvokeDynamicInsn(String name, String descriptor, Handle bootstrap, Object... constants) {
            if (!isConcatenation(bootstrap, constants)) {
                super.visitInvokeDynamicInsn(name, descriptor, bootstrap, constants);
                return;
            }
            // The operands are on the stack, the last one on top: into variables with them, to come back one by one.
            Type[] operands = Type.getArgumentTypes(descriptor);
            int local = free + Arrays.stream(operands).mapToInt(Type::getSize).sum();
            end = Math.max(end, local);
            for (int i = operands.length - 1; i >= 0; i--) {
                local -= operands[i].getSize();
                visitVarInsn(operands[i].getOpcode(Opcodes.ISTORE), local);
            }
            concatenate(List.of(operands).iterator(), (String) constants[0]);
        }

        /** A recipe is text in which \1 stands for the next operand. */
        private void concatenate(Iterator<Type> operands, String recipe) {
            visitTypeInsn(Opcodes.NEW, BUILDER);
            visitInsn(Opcodes.DUP);
            visitMethodInsn(Opcodes.INVOKESPECIAL, BUILDER, "<init>", "()V", false);
            int local = free;
            for (String part : recipe.split("(?<=\1)|(?=\1)")) {
                if (part.equals("\1")) {
                    Type operand = operands.next();
                    visitVarInsn(operand.getOpcode(Opcodes.ILOAD), local);
                    append(appended(operand));
                    local += operand.getSize();
                } else if (!part.isEmpty()) {
                    visitLdcInsn(part);
                    append(STRING);
                }
            }
            visitMethodInsn(Opcodes.INVOKEVIRTUAL, BUILDER, "toString", "()" + STRING, false);
        }

        private void append(String type) {
            visitMethodInsn(Opcodes.INVOKEVIRTUAL, BUILDER, "append", "(" + type + ")L" + BUILDER + ";", false);
        }

        /** The StringBuilder's method that says of an operand what a concatenation does; not the one for char[], for example. */
        private static String appended(Type operand) {
            return switch (operand.getSort()) {
                case Type.BYTE, Type.SHORT -> "I";
                case Type.ARRAY, Type.OBJECT -> operand.getDescriptor().equals(STRING) ? STRING : "Ljava/lang/Object;";
                default -> operand.getDescriptor();
            };
        }

        /** The stack holds a builder, its copy, and one operand of at most two words more. */
        @Override
        public void visitMaxs(int stack, int locals) {
            super.visitMaxs(stack + 4, Math.max(locals, end));
        }
    }
}
