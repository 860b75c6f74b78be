package stele;

import io.micrometer.core.instrument.MeterRegistry;

/** What the template hands to a {@link Service}. */
public record Surroundings(Settings settings, Readiness readiness, MeterRegistry metrics) {}
