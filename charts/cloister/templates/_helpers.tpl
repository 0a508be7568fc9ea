{{- define "cloister.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- /* The operator's Deployment, ServiceAccount and Lease: `cloister` for a release of that name. */ -}}
{{- define "cloister.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains (include "cloister.name" .) .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "cloister.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "cloister.serviceAccountName" -}}
{{- default (include "cloister.fullname" .) .Values.serviceAccount.name -}}
{{- end -}}

{{- /* The operator's user name, as the API server knows it. */ -}}
{{- define "cloister.user" -}}
system:serviceaccount:{{ .Release.Namespace }}:{{ include "cloister.serviceAccountName" . }}
{{- end -}}

{{- define "cloister.certManagerUser" -}}
system:serviceaccount:{{ .Values.certManager.namespace }}:{{ .Values.certManager.serviceAccount }}
{{- end -}}

{{- define "cloister.selectorLabels" -}}
app.kubernetes.io/name: {{ include "cloister.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "cloister.labels" -}}
{{ include "cloister.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: cloister
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{- /* An image reference from {repository, tag, digest} and a default tag. */ -}}
{{- define "cloister.image" -}}
{{- $tag := default .defaultTag .image.tag -}}
{{- .image.repository -}}
{{- if $tag }}:{{ $tag }}{{ end -}}
{{- if .image.digest }}@{{ .image.digest }}{{ end -}}
{{- end -}}

{{- /*
Digests of the admission policies' and bindings' specs as they are rendered, by which the operator and `cloister check`
know whether the cluster holds what was installed: {"policies": {name: digest}, "bindings": {name: digest}}.
*/ -}}
{{- define "cloister.guards" -}}
{{- $digests := dict "policies" dict "bindings" dict -}}
{{- range $file := list "exec" "home" "issuance" "namespace" "operator" "status" "zone" -}}
{{- range $text := include (printf "%s/admission/%s-guard.yaml" $.Template.BasePath $file) $ | splitList "\n---\n" -}}
{{- $object := fromYaml $text -}}
{{- $kind := ternary "policies" "bindings" (eq $object.kind "ValidatingAdmissionPolicy") -}}
{{- $_ := set (get $digests $kind) $object.metadata.name ($object.spec | toRawJson | sha256sum | trunc 32) -}}
{{- end -}}
{{- end -}}
{{- $digests | toRawJson -}}
{{- end -}}
