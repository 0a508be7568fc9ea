{{- /*
Pieces of CEL that the policies share. Values reach an expression only through toJson: a JSON string, list or map is
also a CEL literal, so no value can end a string and begin an expression.
*/ -}}

{{- /* A policy's binding. Audit as well as Deny: a refusal is also written to the API server's audit log. */ -}}
{{- define "cloister.admission.binding" -}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ .name }}
  labels: {{- include "cloister.labels" .root | nindent 4 }}
  {{- include "cloister.admission.keep" .root }}
spec:
  policyName: {{ .policy | default .name }}
  validationActions: [Deny, Audit]
  {{- with .namespaceSelector }}
  matchResources:
    namespaceSelector: {{- toYaml . | nindent 6 }}
  {{- end }}
{{- end -}}

{{- /* Whether Helm leaves policies and bindings behind when the release is uninstalled. */ -}}
{{- define "cloister.admission.keep" -}}
{{- if .Values.admission.keep }}
  annotations:
    helm.sh/resource-policy: keep
{{- end }}
{{- end -}}

{{- /* The variables that every policy starts from. */ -}}
{{- define "cloister.cel.variables" -}}
- name: user
  expression: request.userInfo.username
- name: operator
  expression: request.userInfo.username == {{ include "cloister.user" . | toJson }}
- name: breakGlass
  expression: >-
    {{ .Values.admission.breakGlassGroup | toJson }} in request.userInfo.?groups.orValue([])
# The resource as kubectl writes it, with its group: apps/statefulsets/status
- name: resource
  expression: >-
    (request.resource.group == "" ? "" : request.resource.group + "/") + request.resource.resource +
    (request.?subResource.orValue("") == "" ? "" : "/" + request.subResource)
# What is deleted has only an old object; what is created has only a new one; of a collection neither has a name.
- name: objects
  expression: "[object, oldObject].filter(o, o != null)"
- name: name
  expression: "size(variables.objects) == 0 ? request.?name.orValue('') : variables.objects[0].metadata.?name.orValue('')"
# What the cluster itself does to any object: deletes it with its namespace or its owner, removes owner references and
# finalizers, rewrites it for a new storage version.
- name: housekeeping
  expression: >-
    {"DELETE": ["system:serviceaccount:kube-system:namespace-controller",
                "system:serviceaccount:kube-system:generic-garbage-collector"],
     "UPDATE": ["system:serviceaccount:kube-system:generic-garbage-collector",
                "system:serviceaccount:kube-system:storage-version-migrator-controller"]
    }[?request.operation].orValue([]).exists(u, u == request.userInfo.username)
{{- end -}}

{{- /* The writers besides the operator inside zones: files/zone-writers.yaml, cert-manager, admission.extraWriters. */ -}}
{{- define "cloister.zoneWriters" -}}
{{- $all := list "CREATE" "UPDATE" "DELETE" -}}
{{- $writers := .Files.Get "files/zone-writers.yaml" | fromYaml -}}
{{- $certManager := dict
  "secrets" $all
  "cert-manager.io/certificates/status" (list "UPDATE")
  "cert-manager.io/certificaterequests" $all
  "cert-manager.io/certificaterequests/status" (list "UPDATE") -}}
{{- $_ := set $writers (include "cloister.certManagerUser" .) $certManager -}}
{{- range $resource, $users := .Values.admission.extraWriters -}}
{{- range $user := $users -}}
{{- $_ := set $writers $user (set (get $writers $user | default dict) $resource $all) -}}
{{- end -}}
{{- end -}}
{{- $writers | toJson -}}
{{- end -}}

{{- /* A pattern for any image of a repository. */ -}}
{{- define "cloister.cel.repository" -}}
^{{ regexQuoteMeta .repository }}([:@].+)?$
{{- end -}}

{{- /* Users that may write a resource by admission.extraWriters, as a CEL list. */ -}}
{{- define "cloister.extraWriters" -}}
{{- get .root.Values.admission.extraWriters .resource | default list | toJson -}}
{{- end -}}

{{- /*
True when any string inside .value begins with .prefix, .depth levels down maps and lists. CEL has no recursion, so it
is unrolled here, one `exists` per level.
*/ -}}
{{- define "cloister.cel.mentions" -}}
{{- $v := .value -}}
(type({{ $v }}) == string && string({{ $v }}).startsWith({{ .prefix | toJson }}))
{{- if gt (int .depth) 0 }} ||
{{- $next := printf "v%d" (int .depth) }}
(type({{ $v }}) == map ? {{ $v }}.map(k, {{ $v }}[k]) : type({{ $v }}) == list ? {{ $v }} : []).exists({{ $next }},
  {{- include "cloister.cel.mentions" (dict "value" $next "prefix" .prefix "depth" (sub (int .depth) 1)) | nindent 2 }})
{{- end -}}
{{- end -}}

{{- /* Why the glass was broken, if the person said so: --as-user-extra or an OIDC claim mapped to this extra key. */ -}}
{{- define "cloister.cel.why" -}}
("; reason: " + request.userInfo.?extra["cloister.dev/reason"].orValue(["not given"]).join(", "))
{{- end -}}
