// Runs an OpenTelemetry Collector with what the end-to-end tests need of one: its own receiver of
// OTLP and its own service, and an exporter that writes what was received as lines of JSON.
package main

import (
	"context"
	"os"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/provider/fileprovider"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/otelcol"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/service/telemetry"
	"go.uber.org/zap"
)

// config is what an exporter `file` is told.
type config struct {
	Path string `mapstructure:"path"`
}

// file appends to a file what it consumes, one batch a line, before the sender has its answer.
type file struct {
	component.StartFunc
	open *os.File
}

func newFile(of component.Config) (*file, error) {
	open, err := os.OpenFile(of.(*config).Path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	return &file{open: open}, err
}

func (*file) Capabilities() consumer.Capabilities {
	return consumer.Capabilities{}
}

func (f *file) Shutdown(context.Context) error {
	return f.open.Close()
}

func (f *file) ConsumeTraces(_ context.Context, batch ptrace.Traces) error {
	marshaler := ptrace.JSONMarshaler{}
	return f.write(marshaler.MarshalTraces(batch))
}

func (f *file) ConsumeMetrics(_ context.Context, batch pmetric.Metrics) error {
	marshaler := pmetric.JSONMarshaler{}
	return f.write(marshaler.MarshalMetrics(batch))
}

// write appends a line at once, so that lines of several senders do not mix.
func (f *file) write(line []byte, err error) error {
	if err == nil {
		_, err = f.open.Write(append(line, '\n'))
	}
	return err
}

func traces(_ context.Context, _ exporter.Settings, of component.Config) (exporter.Traces, error) {
	return newFile(of)
}

func metrics(
	_ context.Context, _ exporter.Settings, of component.Config,
) (exporter.Metrics, error) {
	return newFile(of)
}

// logger writes to standard error; of its own metrics and traces the collector has none.
func logger(
	_ context.Context, settings telemetry.LoggerSettings, _ component.Config,
) (*zap.Logger, component.ShutdownFunc, error) {
	logger, err := settings.BuildZapLogger(zap.NewProductionConfig())
	return logger, nil, err
}

func factories() (otelcol.Factories, error) {
	otlp := otlpreceiver.NewFactory()
	file := exporter.NewFactory(
		component.MustNewType("file"),
		func() component.Config { return &config{} },
		exporter.WithTraces(traces, component.StabilityLevelStable),
		exporter.WithMetrics(metrics, component.StabilityLevelStable),
	)
	return otelcol.Factories{
		Receivers: map[component.Type]receiver.Factory{otlp.Type(): otlp},
		Exporters: map[component.Type]exporter.Factory{file.Type(): file},
		Telemetry: telemetry.NewFactory(
			func() component.Config { return &struct{}{} },
			telemetry.WithCreateLogger(logger),
		),
	}, nil
}

func main() {
	command := otelcol.NewCommand(otelcol.CollectorSettings{
		BuildInfo: component.BuildInfo{Command: "collector", Version: "test"},
		Factories: factories,
		ConfigProviderSettings: otelcol.ConfigProviderSettings{
			ResolverSettings: confmap.ResolverSettings{
				DefaultScheme:     "file",
				ProviderFactories: []confmap.ProviderFactory{fileprovider.NewFactory()},
			},
		},
	})
	if command.Execute() != nil {
		os.Exit(1)
	}
}
