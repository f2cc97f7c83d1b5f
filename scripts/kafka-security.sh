# shellcheck shell=bash disable=SC2154 # what isn't assigned here comes from scripts/kafka
# Security of one Kafka broker, for scripts/kafka: certificates, passwords, listeners, ACLs. To be sourced after kafka-broker.sh.
#
# All of it is made anew with the broker, and lies in $dir/secrets, which nobody else may read:
#   ca.pem ca.key                  a CA of this broker alone
#   server.pem server.key          the broker's certificate, for localhost and 127.0.0.1
#   client.pem client.key          a client's certificate, CN=job; admin.pem admin.key: CN=admin
#   password, admin-password       of the users job and admin: SCRAM-SHA-256, SCRAM-SHA-512 and PLAIN
#                                  (OAUTHBEARER takes every token that is not signed)
#   admin.properties               for Kafka's own tools: they are admin then, who may do everything
#
# Beside the listeners that were asked for there are two of the broker's own (INTERNAL, CONTROLLER), with PLAIN for admin alone.
mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER

check_security() { # once the options are known
  local listener ports
  if [ -z "$security" ]; then
    if $mutual || $acl || [ ${#listeners[@]} -gt 0 ]; then die "--mutual, --acl and --listener need --security"; fi
    return
  fi
  check_protocol "$security"
  ! $zookeeper || die "--security needs KRaft, and this broker would run with ZooKeeper" "leave --zookeeper out, and take --version 3.9.1 or newer"
  [ -z "$joins" ] || die "--joins and --security don't go together"
  ! $mutual || [[ $security == *ssl ]] || die "--mutual needs TLS: --security ssl or sasl_ssl"
  for listener in "${listeners[@]}"; do
    if $clustered; then
      [[ $listener == [123]/* ]] || die "--listener $listener names no broker" "of a cluster it is N/PROTOCOL:PORT, with N from 1 to 3"
      listener=${listener#*/}
    fi
    [[ $listener == *:* ]] || die "--listener $listener is not PROTOCOL:PORT"
    [[ $listener == plaintext:* || $listener == mutual:* ]] || check_protocol "${listener%%:*}"
    ports=${listener#*:}
    is_number "${ports%%@*}" 1 65535 || die "--listener $listener has no port (1 to 65535)"
  done
  command -v openssl >/dev/null || die "openssl is needed for --security, and isn't here" "run scripts/setup"
}

check_protocol() {
  case $1 in ssl | sasl_plaintext | sasl_ssl) ;; *) die "$1 is none of ssl, sasl_plaintext, sasl_ssl" "scripts/kafka help says more" ;; esac
}

# ---- certificates and passwords

make_secrets() {
  local name
  (
    umask 077
    mkdir "$dir/secrets"
    for name in password admin-password; do head -c 18 /dev/urandom | base64 | tr '+/' 'xy' >"$dir/secrets/$name"; done
  )
  make_ca ca
  make_certificate server localhost ca localhost,127.0.0.1
  make_certificate client job ca
  make_certificate admin admin ca
  # Kafka wants both in one file.
  (umask 077 && cat "$dir/secrets/server.key" "$dir/secrets/server.pem" >"$dir/secrets/server.keystore.pem")
  write_admin_properties
}

# run_openssl ARGS…: silent unless it fails; its own settings, whatever those of the machine are.
run_openssl() {
  local said
  said=$(umask 077 && openssl "$@" 2>&1) || die "openssl $1 failed: $said"
}

make_ca() { # NAME
  local at=$dir/secrets
  write_openssl_settings "$1"
  run_openssl req -x509 -config "$at/$1.cnf" -extensions authority -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
    -keyout "$at/$1.key" -out "$at/$1.pem" -subj "/CN=$1 of Kafka on port $port" -days 30
}

# make_certificate NAME COMMON-NAME CA [HOSTS [expired]]
make_certificate() {
  local at=$dir/secrets host names='' from until
  for host in ${4:+${4//,/ }}; do
    if [[ $host =~ ^[0-9.]+$|: ]]; then names+=,IP:$host; else names+=,DNS:$host; fi
  done
  write_openssl_settings "$3" "${names#,}"
  from=$(date -u -d '-2 days' +%y%m%d%H%M%SZ) until=$(date -u -d '+30 days' +%y%m%d%H%M%SZ)
  [ "${5:-}" != expired ] || until=$(date -u -d '-1 day' +%y%m%d%H%M%SZ)
  run_openssl req -new -config "$at/$3.cnf" -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
    -keyout "$at/$1.key" -out "$at/$1.csr" -subj "/CN=$2"
  run_openssl ca -batch -notext -config "$at/$3.cnf" -in "$at/$1.csr" -out "$at/$1.pem" -startdate "$from" -enddate "$until"
  rm "$at/$1.csr"
}

# write_openssl_settings CA [ALTERNATIVE-NAMES]
write_openssl_settings() {
  local at=$dir/secrets
  mkdir -p "$at/$1.issued"
  [ -f "$at/$1.issued/index" ] || : >"$at/$1.issued/index"
  cat >"$at/$1.cnf" <<SETTINGS
[req]
distinguished_name = subject
[subject]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[ca]
default_ca = issuer
[issuer]
certificate = $at/$1.pem
private_key = $at/$1.key
database = $at/$1.issued/index
new_certs_dir = $at/$1.issued
rand_serial = yes
unique_subject = no
default_md = sha256
policy = any
x509_extensions = leaf
[any]
commonName = supplied
[leaf]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
authorityKeyIdentifier = keyid
${2:+subjectAltName = $2}
SETTINGS
}

# What `scripts/kafka certificate` does.
certificate() {
  [ $# -ge 2 ] || die "certificate needs a broker and a name" "such as: scripts/kafka certificate 9092 client"
  find_broker "$1"
  local name=$2 common=job ca=ca hosts='' age=''
  shift 2
  [ -d "$dir/secrets" ] || die "the broker in $dir has no security" "scripts/kafka start --security … starts one that has"
  [[ $name =~ ^[A-Za-z0-9_-]+$ && $name != ca ]] || die "'$name' can't be a certificate's name: letters, digits, - and _, and not ca"
  while [ $# -gt 0 ]; do
    case $1 in
    --expired) age=expired ;;
    --cn | --host | --ca)
      [ $# -ge 2 ] || die "$1 needs a value"
      case $1 in --cn) common=$2 ;; --host) hosts=${hosts:+$hosts,}$2 ;; --ca) ca=$2 ;; esac
      shift
      ;;
    *) die "unknown option of certificate: $1" "scripts/kafka help lists them" ;;
    esac
    shift
  done
  [[ $ca =~ ^[A-Za-z0-9_-]+$ && $ca != "$name" ]] || die "'$ca' can't be a CA's name: letters, digits, - and _, and another than the certificate's"
  exec 8>"$dir/secrets/lock"
  flock 8
  [ -f "$dir/secrets/$ca.key" ] || make_ca "$ca"
  make_certificate "$name" "$common" "$ca" "$hosts" "$age"
  echo "$dir/secrets/$name.pem and $name.key (CN=$common, of $ca.pem)"
}

# ---- settings

protocol_of() { # of a listener, as Kafka names it
  case $1 in mutual) echo SSL ;; *) echo "${1^^}" ;; esac
}

# A login as Java's settings have it.
login() { # USER PASSWORD-FILE [MORE]
  printf 'org.apache.kafka.common.security.plain.PlainLoginModule required username="%s" password="%s"%s;' \
    "$1" "$(cat "$dir/secrets/$2")" "${3:-}"
}

# What doesn't change from launch to launch.
write_security_settings() {
  local at=$dir/secrets admin job listener number=0 map
  map=KAFKA:$(protocol_of "$security")
  admin=$(cat "$at/admin-password") job=$(cat "$at/password")
  for listener in "${listeners[@]}"; do
    number=$((number + 1))
    map+=,MORE$number:$(protocol_of "${listener%%:*}")
    [[ $listener != mutual:* ]] || echo "listener.name.more$number.ssl.client.auth=required"
    login_settings "more$number" "${listener%%:*}" " user_admin=\"$admin\" user_job=\"$job\""
  done
  # A listener with TLS takes a certificate where a client shows one.
  echo "ssl.client.auth=$($mutual && echo required || echo requested)"
  login_settings kafka "$security" " user_admin=\"$admin\" user_job=\"$job\""
  for listener in internal controller; do
    echo "listener.name.$listener.sasl.enabled.mechanisms=PLAIN"
    echo "listener.name.$listener.plain.sasl.jaas.config=$(login admin admin-password " user_admin=\"$admin\"")"
  done
  cat <<SETTINGS
listener.security.protocol.map=INTERNAL:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT,$map
inter.broker.listener.name=INTERNAL
sasl.mechanism.inter.broker.protocol=PLAIN
sasl.mechanism.controller.protocol=PLAIN
sasl.enabled.mechanisms=$mechanisms
ssl.keystore.type=PEM
ssl.keystore.location=$at/server.keystore.pem
ssl.truststore.type=PEM
ssl.truststore.location=$at/ca.pem
num.network.threads=1
SETTINGS
  ! $acl || printf '%s\n' authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer \
    allow.everyone.if.no.acl.found=false 'super.users=User:admin;User:CN=admin'
}

login_settings() { # LISTENER PROTOCOL USERS
  local mechanism module=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule
  [[ $2 == sasl_* ]] || return 0
  echo "listener.name.$1.plain.sasl.jaas.config=$(login admin admin-password "$3")"
  for mechanism in scram-sha-256 scram-sha-512; do
    echo "listener.name.$1.$mechanism.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;"
  done
  # Any token that is not signed is taken, until it expires: its subject is the user.
  echo "listener.name.$1.oauthbearer.sasl.jaas.config=$module required unsecuredLoginStringClaim_sub=\"admin\";"
}

# The listeners, at each launch: the controller's port and the internal one are chosen then.
secure_listeners() { # CONTROLLER-PORT INTERNAL-PORT
  local listener number=0 place here="INTERNAL://127.0.0.1:$2,KAFKA://127.0.0.1:$port" told
  told=$here
  for listener in "${listeners[@]}"; do
    number=$((number + 1)) place=${listener#*:}
    here+=,MORE$number://127.0.0.1:${place%%@*}
    case $place in *@*) told+=,MORE$number://${place#*@} ;; *) told+=,MORE$number://127.0.0.1:$place ;; esac
  done
  printf '%s\n' "listeners=$here,CONTROLLER://127.0.0.1:$1" "advertised.listeners=$told"
}

write_admin_properties() {
  local at=$dir/secrets
  (
    umask 077
    {
      echo "security.protocol=${security^^}"
      case $security in *ssl) printf '%s\n' ssl.truststore.type=PEM "ssl.truststore.location=$at/ca.pem" ;; esac
      case $security in
      sasl_*)
        echo sasl.mechanism=PLAIN
        echo "sasl.jaas.config=$(login admin admin-password)"
        ;;
      esac
      if [ "$security" = ssl ] || $mutual; then
        cat "$at/admin.key" "$at/admin.pem" >"$at/admin.keystore.pem"
        printf '%s\n' ssl.keystore.type=PEM "ssl.keystore.location=$at/admin.keystore.pem"
      fi
    } >"$at/admin.properties"
  )
}

# The users' SCRAM credentials, for kafka-storage format; one argument a line.
scram_arguments() {
  local user mechanism file
  for user in job admin; do
    case $user in job) file=password ;; *) file='admin-password' ;; esac
    for mechanism in SCRAM-SHA-256 SCRAM-SHA-512; do
      printf '%s\n' --add-scram "\"$mechanism=[name=$user,password=$(cat "$dir/secrets/$file")]\""
    done
  done
}

# It is up when it says so: it answers no stranger, and in a cluster others speak of it before. Its log may have what it said at an earlier launch.
note_log() { log_lines=$( (cat "$dir/kafka.log" 2>/dev/null || true) | wc -l); }

says_it_is_up() { owns kafka "$port" && tail -n "+$((log_lines + 1))" "$dir/kafka.log" | grep -q 'Kafka Server started'; }
