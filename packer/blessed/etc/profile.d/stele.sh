# CIS 5.4.3.2-3
readonly TMOUT=900
export TMOUT
umask 027
