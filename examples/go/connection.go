package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
)

// Every address of a dns:/// name takes its share of the calls.
const serviceConfig = `{"loadBalancingConfig": [{"round_robin": {}}]}`

// Settings say how to reach the editor.
type Settings struct {
	// Editor is "host:port", or "dns:///host:port" for every editor behind a headless service.
	Editor string
	// CA is a PEM file of the authorities of the editor's certificate, or "system"; empty for plaintext.
	CA string
	// Certificate and Key are PEM files to show where the editor asks for a certificate.
	Certificate, Key string
	// Token says who calls. It is sent with every call, over TLS only.
	Token string
}

// SettingsFromEnvironment reads SEAMLINE_EDITOR, SEAMLINE_TLS_* and SEAMLINE_TOKEN.
func SettingsFromEnvironment() Settings {
	return Settings{
		Editor:      os.Getenv("SEAMLINE_EDITOR"),
		CA:          os.Getenv("SEAMLINE_TLS_CA"),
		Certificate: os.Getenv("SEAMLINE_TLS_CERTIFICATE"),
		Key:         os.Getenv("SEAMLINE_TLS_KEY"),
		Token:       os.Getenv("SEAMLINE_TOKEN"),
	}
}

// Connect opens a connection for the life of the process: it dials when first used, and again when it is lost.
func Connect(settings Settings) (*grpc.ClientConn, error) {
	if settings.Editor == "" {
		return nil, errors.New("SEAMLINE_EDITOR is not set; give the editor's host:port")
	}
	options := []grpc.DialOption{
		grpc.WithDefaultServiceConfig(serviceConfig),
		// An edit lasts minutes: a peer that is gone without a word is noticed within 40 s.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
	}
	// WithInsecure and Dial, not their successors, so that grpc-go from 1.30 on will do; both stay for all of 1.x.
	if settings.CA == "" {
		if settings.Token != "" {
			return nil, errors.New("SEAMLINE_TOKEN is set and SEAMLINE_TLS_CA is not; a token goes over TLS only")
		}
		return grpc.Dial(settings.Editor, append(options, grpc.WithInsecure())...)
	}
	config, err := tlsConfig(settings)
	if err != nil {
		return nil, err
	}
	options = append(options, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if settings.Token != "" {
		options = append(options, grpc.WithPerRPCCredentials(bearer(settings.Token)))
	}
	return grpc.Dial(settings.Editor, options...)
}

func tlsConfig(settings Settings) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if settings.CA != "system" {
		pem, err := os.ReadFile(settings.CA)
		if err != nil {
			return nil, fmt.Errorf("SEAMLINE_TLS_CA: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("SEAMLINE_TLS_CA: %s holds no certificate in PEM", settings.CA)
		}
	}
	if settings.Certificate != "" {
		identity, err := tls.LoadX509KeyPair(settings.Certificate, settings.Key)
		if err != nil {
			return nil, fmt.Errorf("SEAMLINE_TLS_CERTIFICATE and SEAMLINE_TLS_KEY: %w", err)
		}
		config.Certificates = []tls.Certificate{identity}
	}
	return config, nil
}

// bearer is a token as gRPC sends it with every call.
type bearer string

func (token bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(token)}, nil
}

func (bearer) RequireTransportSecurity() bool { return true }
