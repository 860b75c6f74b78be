# Layer 2 of the jvm family. Context: runtimes/. One layer on top of the base: everything is assembled in /layer first.
ARG BASE=scratch
ARG BUILDER=scratch

FROM ${BUILDER} AS libraries
WORKDIR /source/build
COPY jvm/pom.xml jvm/libraries.lock /source/
COPY jvm/build/ /source/build/
RUN --mount=type=secret,id=ca,target=/run/secrets/ca \
    --mount=type=secret,id=maven-settings,target=/run/secrets/maven-settings \
    --mount=type=cache,id=stele-maven,target=/root/.m2 \
    ./libraries /libraries.jar

FROM ${BUILDER} AS code
ARG SOURCE_DATE_EPOCH
COPY jvm/build/code /build/code
COPY jvm/src/ /source/
RUN --mount=type=bind,from=libraries,source=/libraries.jar,target=/libraries.jar \
    /build/code /source /libraries.jar /stele.jar

FROM ${BASE} AS base

FROM ${BUILDER} AS truststore
COPY --from=base /etc/ssl/certs/ca-certificates.crt /bundle.crt
COPY jvm/build/Truststore.java blessed/c[a]/ /build/
RUN cat /bundle.crt /build/*.crt >/all.crt 2>/dev/null || true; java /build/Truststore.java /all.crt /cacerts

FROM base AS layer
ARG TEMPLATE_VERSION
ARG SOURCE_DATE_EPOCH
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
COPY --from=libraries /libraries.jar /opt/stele/lib/
COPY --from=code /stele.jar /opt/stele/lib/
COPY jvm/java.options jvm/libraries.lock /opt/stele/lib/
COPY blessed/ /source/blessed/
COPY jvm/ /source/jvm/
RUN cd /opt/stele/lib && \
    # the archive records the jars' dates: they must be the final ones before it is made
    chmod 0644 ./* && touch --date "@${SOURCE_DATE_EPOCH}" ./* && \
    /source/jvm/build/archive /source/jvm/classes.lock /opt/stele/lib/stele.jsa
COPY --from=truststore /cacerts /cacerts
RUN /source/blessed/bless jvm "${TEMPLATE_VERSION}" && \
    /source/jvm/build/security /layer && \
    cp -a /opt/stele/lib/. /layer/opt/stele/lib/ && \
    install -D -m 0644 /cacerts /layer/etc/ssl/certs/java/cacerts && \
    /source/blessed/bless seal

FROM base
ARG TEMPLATE_VERSION
COPY --from=layer /layer/ /
LABEL stele.template="${TEMPLATE_VERSION}" stele.family="jvm"
USER 10001:10001
EXPOSE 8080 9000
STOPSIGNAL SIGTERM
ENTRYPOINT ["/opt/stele/run"]
