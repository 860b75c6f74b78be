# Layers 3 (flows) and 4 (configuration) of a jvm runtime. Context: the runtime's folder.
ARG BLESSED=scratch
ARG BUILDER=scratch

FROM ${BLESSED} AS blessed

FROM ${BUILDER} AS layer
ARG SOURCE_DATE_EPOCH
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
COPY flows/ /source/
RUN --mount=type=bind,from=blessed,source=/opt/stele,target=/stele \
    mkdir -p /classes /flows/opt/stele/flows && cd /classes && \
    find /source -name '*.java' | LC_ALL=C sort >/tmp/sources && \
    javac -XDstringConcat=inline -proc:none -nowarn -encoding UTF-8 --release 17 -d . -cp '/stele/lib/*' @/tmp/sources && \
    find . -name '*.class' -printf '%P\n' | LC_ALL=C sort >/tmp/entries && \
    jar --create --file /flows/opt/stele/flows/flows.jar --no-manifest \
        --date "$(date --utc --date "@${SOURCE_DATE_EPOCH}" +%FT%TZ)" @/tmp/entries
COPY config/ /config/opt/stele/config/
RUN chmod -R u=rwX,go=rX /flows /config && \
    find /flows /config -exec touch --no-dereference --date "@${SOURCE_DATE_EPOCH}" {} +

FROM blessed
ARG RUNTIME
USER 10001:10001
LABEL org.opencontainers.image.title="${RUNTIME}" stele.runtime="${RUNTIME}" stele.family="jvm"
COPY --from=layer /flows/ /
COPY --from=layer /config/ /
