# Layer 2 of the postgres family. Context: runtimes/. PostgreSQL itself is in the base; here come user, hooks and entry.
ARG BASE=scratch
# Asked for by the build contract; nothing is compiled here.
ARG BUILDER=scratch

FROM ${BASE} AS base

FROM base AS layer
ARG TEMPLATE_VERSION
ARG SOURCE_DATE_EPOCH
COPY blessed/ /source/blessed/
COPY postgres/ /source/postgres/
RUN /source/blessed/bless postgres "${TEMPLATE_VERSION}" && /source/blessed/bless seal

FROM base
ARG TEMPLATE_VERSION
COPY --from=layer /layer/ /
LABEL stele.template="${TEMPLATE_VERSION}" stele.family="postgres"
USER 10001:10001
EXPOSE 5432 9000
STOPSIGNAL SIGTERM
ENTRYPOINT ["/opt/stele/run"]
