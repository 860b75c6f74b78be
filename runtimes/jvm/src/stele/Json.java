package stele;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.util.LinkedHashMap;
import java.util.Map;

/** Flat JSON objects, read strictly: no repeated fields, nothing nested, nothing behind the end. */
public final class Json {
    private static final JsonFactory FACTORY =
            new JsonFactory().enable(JsonParser.Feature.STRICT_DUPLICATE_DETECTION);

    private Json() {}

    /** The fields of an object in their order. Throws {@link Refused} with a reason a caller understands. */
    public static Map<String, Object> object(byte[] text) {
        Map<String, Object> fields = new LinkedHashMap<>();
        try (JsonParser parser = FACTORY.createParser(text)) {
            if (parser.nextToken() != JsonToken.START_OBJECT) {
                throw new Refused("the body must be a JSON object");
            }
            for (String name = parser.nextFieldName(); name != null; name = parser.nextFieldName()) {
                fields.put(name, scalar(name, parser));
            }
            if (parser.nextToken() != null) {
                throw new Refused("there is more after the JSON object");
            }
            return fields;
        } catch (JsonProcessingException wrong) {
            throw new Refused("invalid JSON: " + wrong.getOriginalMessage().replaceFirst("(?s)[\\n(:].*", "").strip());
        } catch (IOException impossible) {
            throw new Refused("invalid JSON: " + impossible.getMessage());
        }
    }

    private static Object scalar(String name, JsonParser parser) throws IOException {
        JsonToken token = parser.nextToken();
        return switch (token) {
            case VALUE_STRING -> parser.getText();
            case VALUE_NUMBER_INT, VALUE_NUMBER_FLOAT -> parser.getNumberValue();
            case VALUE_TRUE, VALUE_FALSE -> parser.getBooleanValue();
            case VALUE_NULL -> null;
            default -> throw new Refused("field '" + name + "' must not be nested");
        };
    }

    /** An object as compact JSON text. Values are text, numbers, booleans or null. */
    public static String write(Map<String, ?> fields) {
        StringWriter text = new StringWriter();
        try (JsonGenerator generator = FACTORY.createGenerator(text)) {
            generator.writeStartObject();
            for (Map.Entry<String, ?> field : fields.entrySet()) {
                generator.writeObjectField(field.getKey(), field.getValue());
            }
            generator.writeEndObject();
        } catch (IOException impossible) {
            throw new UncheckedIOException(impossible);
        }
        return text.toString();
    }
}
