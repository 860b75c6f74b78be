# Layer 2 of the task-runner family. Context: runtimes/. restic, rclone and PostgreSQL are in the base; here come the runner,
# user, hooks and entry.
ARG BASE=scratch
# Asked for by the build contract; nothing is compiled here.
ARG BUILDER=scratch

FROM ${BASE} AS base

FROM base AS layer
ARG TEMPLATE_VERSION
ARG SOURCE_DATE_EPOCH
COPY blessed/ /source/blessed/
COPY task-runner/ /source/task-runner/
RUN /source/blessed/bless task-runner "${TEMPLATE_VERSION}" && \
    mkdir -p /layer/volumes && \
    cp -a /source/task-runner/runner /layer/opt/stele/lib/ && \
    cp /source/task-runner/backup /layer/opt/stele/backup && \
    /source/blessed/bless seal

FROM base
ARG TEMPLATE_VERSION
COPY --from=layer /layer/ /
LABEL stele.template="${TEMPLATE_VERSION}" stele.family="task-runner"
USER 10001:10001
EXPOSE 9000
STOPSIGNAL SIGTERM
ENTRYPOINT ["/opt/stele/run"]
