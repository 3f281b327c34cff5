# labctl for graders: one static file, a user without rights, and the certificates that object storage asks for.
#   docker build -t labctl .           (with BuildKit)
#   docker run --rm --network none --read-only -v "$PWD/answers:/answers:ro" labctl grade networkpolicy --submission /answers --offline
ARG GO_VERSION=1.26
FROM --platform=$BUILDPLATFORM golang:${GO_VERSION} AS build
ARG TARGETOS=linux
ARG TARGETARCH=amd64
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 GOOS=${TARGETOS} GOARCH=${TARGETARCH} go build -trimpath -ldflags "-s -w" -o /out/labctl ./cmd/labctl \
 && cp /etc/ssl/certs/ca-certificates.crt /out/ \
 && mkdir -p /out/root/tmp && chmod 1777 /out/root/tmp

FROM scratch
COPY --from=build /out/labctl /labctl
COPY --from=build /out/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build --chown=65532:65532 /out/root/ /
ENV HOME=/tmp
USER 65532:65532
ENTRYPOINT ["/labctl"]
