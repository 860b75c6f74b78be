# Layers 3 (flows) and 4 (configuration) of a runtime of the haproxy family.
ARG BLESSED=scratch
FROM ${BLESSED}
ARG RUNTIME
COPY flows/ /opt/stele/flows/
COPY config/ /opt/stele/config/
LABEL org.opencontainers.image.title="${RUNTIME}" stele.runtime="${RUNTIME}" stele.family="haproxy"
USER 10001:10001
STOPSIGNAL SIGUSR1
EXPOSE 8080 9000
HEALTHCHECK --interval=2s --timeout=5s --start-period=60s CMD ["/opt/stele/health", "ready"]
ENTRYPOINT ["/opt/stele/run"]
